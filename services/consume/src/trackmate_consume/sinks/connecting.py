"""
How a guarded connection is made: the name is resolved once, every answer is judged, and the socket
goes to an address that was judged. The name stays what TLS and the `Host` header are about.

The socket's factory judges again, and is the one place that every connection passes: an address
written out in a URL is never resolved.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult

from trackmate_consume.sink import Down
from trackmate_consume.sinks.guard import Guard, plain

Lookup = Callable[[str], Awaitable[Sequence[str]]]
"""All addresses of a name. Raises `socket.gaierror` or UnicodeError where there are none."""

_IDLE_S = 4.0  # before a connection is closed: Node.js, uvicorn and Apache close theirs after 5 s


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


def guarded(
    guard: Guard, lookup: Lookup, *, connections: int, trust: ssl.SSLContext | bool
) -> TCPConnector:
    """At most so many connections, each to an address that the guard permits."""

    def connectable(info: tuple[int, int, int, str, tuple[str, int]]) -> socket.socket:
        family, kind, protocol, _, address = info
        guard.check([address[0]])
        return socket.socket(family, kind, protocol)

    return TCPConnector(
        resolver=_Resolver(guard, lookup),
        socket_factory=connectable,
        limit=connections,
        use_dns_cache=False,  # an address is as old as its connection, at most
        keepalive_timeout=_IDLE_S,
        ssl=trust,
    )


class _Resolver(AbstractResolver):
    def __init__(self, guard: Guard, lookup: Lookup) -> None:
        self._guard = guard
        self._lookup = lookup

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        addresses = await judged(host, self._guard, self._lookup)
        return [_result(host, port, address) for address in addresses]

    async def close(self) -> None:
        """Nothing is held."""


def _result(host: str, port: int, address: str) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return ResolveResult(
        hostname=host,
        host=address,
        port=port,
        family=family,
        proto=socket.IPPROTO_TCP,
        flags=socket.AI_NUMERICHOST,
    )
