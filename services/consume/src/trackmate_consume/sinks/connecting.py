"""
How a guarded connection is made over HTTP: the name is resolved once, every answer is judged, and
the socket goes to an address that was judged. The name stays what TLS and the `Host` header are
about.

The socket's factory judges again, and is the one place that every connection passes: an address
written out in a URL is never resolved.
"""

import socket
import ssl

from aiohttp import TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult

from trackmate_consume.sinks.guard import Guard
from trackmate_consume.sinks.resolving import Lookup, judged

_IDLE_S = 4.0  # before a connection is closed: Node.js, uvicorn and Apache close theirs after 5 s


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
