"""
What is in the way of a connection to Couchbase, tried by connections of our own: the SDK only says
that none came about in time.

And it does not look for whom a certificate is: what any trusted authority has signed, for whatever
name, passes with it (CXXCBC-838; in 4.6.3, whose core is 1.3.2, too). So the hosts that are
declared are asked for theirs first.
"""

import asyncio
import re
import socket
import ssl
from collections.abc import Mapping
from os import strerror
from typing import NamedTuple

from trackmate_consume.sinks.trust import certificate_words

_HOST = re.compile(r"(\[[^]]+\]|[^:,]+)(?::(\d+))?")
_PORTS = {"couchbase": 11210, "couchbases": 11207}
_TLS = "couchbases://"
_WITHIN_S = 3.0


def hosts(connection_string: str) -> list[tuple[str, int]]:
    """
    >>> hosts("couchbases://cb1.example,[::1]:12000")
    [('cb1.example', 11207), ('::1', 12000)]
    """
    scheme, _, rest = connection_string.partition("://")
    return [
        (found[1].strip("[]"), int(found[2] or _PORTS[scheme])) for found in _HOST.finditer(rest)
    ]


class Reached(NamedTuple):
    """What became of a connection to a host."""

    words: str
    impostor: bool = False
    """Whether its certificate does not hold."""


async def why_not(connection_string: str, ca_file: str | None) -> str:
    """A sentence with each host and what is in its way."""
    try:
        return sentence(await _reached(connection_string, ca_file))
    except _Unreadable as fault:
        return str(fault)


async def impostors(connection_string: str, ca_file: str | None) -> str:
    """The same where the certificate of a host that answers does not hold, and else nothing."""
    if not connection_string.startswith(_TLS):
        return ""
    try:
        reached = await _reached(connection_string, ca_file)
    except _Unreadable as fault:
        return str(fault)
    return sentence({host: tried for host, tried in reached.items() if tried.impostor})


class _Unreadable(Exception):  # noqa: N818 - what the file is
    """The file of the authority."""


def sentence(reached: Mapping[str, Reached]) -> str:
    said = "; ".join(f"{host} {tried.words}" for host, tried in reached.items())
    return f"no connection to Couchbase: {said}" if said else ""


async def _reached(connection_string: str, ca_file: str | None) -> dict[str, Reached]:
    trust = _trust(ca_file) if connection_string.startswith(_TLS) else None
    found = hosts(connection_string)
    tried = await asyncio.gather(*[_try(host, port, trust) for host, port in found])
    return {f"{host}:{port}": one for (host, port), one in zip(found, tried, strict=True)}


def _trust(ca_file: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError:
        why = "it is no certificate in PEM"
    except OSError as fault:
        why = fault.strerror or "it cannot be read"
    raise _Unreadable(f"the authority in {ca_file!r} cannot be read: {why}")


async def _try(host: str, port: int, trust: ssl.SSLContext | None) -> Reached:
    try:
        async with asyncio.timeout(_WITHIN_S):
            _, writer = await asyncio.open_connection(host, port, ssl=trust)
    except TimeoutError:
        return Reached("does not answer")
    except socket.gaierror:
        return Reached("is no name that is known")
    except ssl.SSLCertVerificationError as fault:
        return Reached(certificate_words(fault, "caFile"), impostor=True)
    except OSError as fault:
        return Reached(_words(fault))
    writer.transport.abort()
    return Reached("is there, and is no data service of Couchbase that answers in time")


def _words(fault: OSError) -> str:
    if isinstance(fault, ssl.SSLError) or not fault.errno:
        return "speaks no TLS; write couchbase://, or the port of its data service with TLS"
    return f"cannot be connected to: {strerror(fault.errno).lower()}"
