"""
Where a name leads, resolved once, and every answer judged: what all guarded sinks share, whatever
makes their connections.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence

from trackmate_consume.sink import Down
from trackmate_consume.sinks.guard import Guard, plain

Lookup = Callable[[str], Awaitable[Sequence[str]]]
"""All addresses of a name. Raises `socket.gaierror` or UnicodeError where there are none."""


async def system_lookup(host: str) -> list[str]:
    """As this machine resolves names: its hosts file, its search domains, its name servers."""
    found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return [str(sockaddr[0]) for *_, sockaddr in found]


def spelled_out(host: str) -> str | None:
    """
    The address that a host is one spelling of, without asking anybody; None for a name.

    >>> spelled_out("0x7f.1"), spelled_out("2130706433"), spelled_out("www.acme.example")
    ('127.0.0.1', '127.0.0.1', None)
    >>> spelled_out("cache.localhost")
    '127.0.0.1'
    """
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):  # RFC 6761: always loopback
        return "127.0.0.1"
    try:
        found = socket.getaddrinfo(name, None, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return None
    return str(plain(str(found[0][4][0])))


async def judged(host: str, guard: Guard, lookup: Lookup) -> Sequence[str]:
    """Every address of a host, once the guard permits them all. Raises Blocked or Down."""
    addresses = await _addresses(host, guard, lookup)
    guard.check(addresses)
    return addresses


async def _addresses(host: str, guard: Guard, lookup: Lookup) -> Sequence[str]:
    try:
        return await lookup(host)
    except socket.gaierror as fault:
        if fault.errno == socket.EAI_AGAIN:
            shown = guard.shown or repr(host)
            raise Down(f"the name server does not answer, asked for {shown}") from None
        return ()
    except UnicodeError:  # no name can be like this
        return ()
