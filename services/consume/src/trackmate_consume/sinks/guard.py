"""
Which addresses a pipeline may reach: public ones, and what the platform's `allowedNetworks` name.

It judges addresses and never names or spellings: whoever connects resolves the name first, has all
answers judged, and connects to an address that was (`connecting.py`). `ipaddress.is_global` would
not do: it takes multicast, NAT64, 6to4 and clouds' metadata addresses for global, and changes with
the version of Python. Lists: IANA's special-purpose address registries, and of IPv6 only 2000::/3,
which alone is given out (IANA, IPv6 global unicast address assignments).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

PUBLIC_PORTS = (443, 8443)
"""Where public addresses may be asked by https: a platform's nodes have public addresses too."""

_NOT_PUBLIC = tuple(
    ip_network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # carriers' NAT, and the metadata of some clouds (100.100.100.200)
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's wire server
        "169.254.0.0/16",  # link-local: most clouds' metadata
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",  # relays of 6to4
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "2001::/23",  # Teredo (2001::/32) and other protocols' own
        "2001:db8::/32",
        "2002::/16",  # 6to4: an IPv4 address in disguise
        "2620:4f:8000::/48",
        "3ffe::/16",
        "3fff::/20",
    )
)
_GIVEN_OUT = IPv6Network("2000::/3")


class Blocked(Exception):  # noqa: N818 - what became of the connection
    """An address that must not be connected to; the message is for the tenant."""


@dataclass(frozen=True, slots=True)
class Way:
    """How public addresses may be asked."""

    words: str
    ports: tuple[int, ...]


HTTPS = Way("by https", PUBLIC_PORTS)


@dataclass(frozen=True, slots=True)
class Guard:
    """Judges the addresses of one destination."""

    host: str
    """As it is declared. Messages show it in the place of what it resolved to."""
    port: int
    encrypted: bool
    """Whether nothing is said to the destination before TLS."""
    allowed: tuple[Network, ...] = ()
    """May be reached without TLS too, and on any port."""
    way: Way = HTTPS
    shown: str = ""
    """In the place of a host that is a part of a secret."""

    def check(self, addresses: Iterable[str]) -> None:
        """
        Raise Blocked unless every address may be connected to, and there is one.

        A name that leads inside and one that does not exist get the same words: else a tenant
        could ask which names the cluster knows.
        """
        found = [plain(address) for address in addresses]
        others = [address for address in found if not self._allows(address)]
        if not found or not all(is_public(address) for address in others):
            raise Blocked(
                f"blocked: the address of {self.shown or repr(self.host)} is not public, or not "
                "known; the platform's allowedNetworks decide"
            )
        if others:
            self.check_way()

    def check_way(self) -> None:
        """Raise Blocked unless a public address may be asked like this."""
        if not self.encrypted or self.port not in self.way.ports:
            *others, last = map(str, self.way.ports)
            ports = f"{', '.join(others)} or {last}"
            raise Blocked(
                f"blocked: public addresses are asked {self.way.words}, on port {ports} alone; the "
                "platform's allowedNetworks decide what else"
            )

    def _allows(self, address: Address) -> bool:
        return any(address in network for network in self.allowed)


def plain(address: str) -> Address:
    """
    The address that a connection really goes to: without zone, and IPv4 out of its IPv6 form.

    >>> plain("::ffff:127.0.0.1"), plain("fe80::1%eth0")
    (IPv4Address('127.0.0.1'), IPv6Address('fe80::1'))
    """
    found = ip_address(address.partition("%")[0])
    return getattr(found, "ipv4_mapped", None) or found


def is_public(address: Address) -> bool:
    """
    >>> is_public(ip_address("2606:4700::1")), is_public(ip_address("64:ff9b::a9fe:a9fe"))
    (True, False)
    """
    if isinstance(address, IPv6Address) and address not in _GIVEN_OUT:
        return False
    return not any(address in network for network in _NOT_PUBLIC)
