"""
What the affiliate's privacy setting leaves of a client's address.
"""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

_PREFIX = {4: 24, 6: 48}  # bits kept by Truncate: a network, never a person


@lru_cache(maxsize=4096)
def shown(address: str, keep: str) -> str | None:
    """
    >>> shown("203.0.113.77", "Truncate"), shown("2001:db8:1:2::3", "Truncate")
    ('203.0.113.0', '2001:db8:1::')
    >>> shown("203.0.113.77", "Keep"), shown("203.0.113.77", "Drop")
    ('203.0.113.77', None)
    """
    if keep == "Drop":
        return None
    try:
        known = _unmapped(ip_address(address))
    except ValueError:  # a Unix socket has no address
        return None
    if keep == "Keep":
        return str(known)
    return str(ip_network((known, _PREFIX[known.version]), strict=False).network_address)


def _unmapped(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    return getattr(address, "ipv4_mapped", None) or address
