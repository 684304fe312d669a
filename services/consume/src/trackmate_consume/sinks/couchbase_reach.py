"""
Why no connection to Couchbase comes about. The SDK only says that none did in time, so each host is
tried here by a connection of our own, which says what is in the way.
"""

import asyncio
import re
import socket
import ssl
from os import strerror

from trackmate_consume.sinks.trust import certificate_words

_HOST = re.compile(r"(\[[^]]+\]|[^:,]+)(?::(\d+))?")
_PORTS = {"couchbase": 11210, "couchbases": 11207}
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


async def why_not(connection_string: str, ca_file: str | None) -> str:
    """A sentence with each host and what is in its way."""
    try:
        trust = _trust(connection_string, ca_file)
    except (OSError, ssl.SSLError) as fault:
        why = fault.strerror if not isinstance(fault, ssl.SSLError) else "it is no certificate"
        return f"the authority in {ca_file!r} cannot be read: {why or fault}"
    found = hosts(connection_string)
    tried = await asyncio.gather(*[_try(host, port, trust) for host, port in found])
    said = [f"{host}:{port} {words}" for (host, port), words in zip(found, tried, strict=True)]
    return f"no connection to Couchbase: {'; '.join(said)}"


def _trust(connection_string: str, ca_file: str | None) -> ssl.SSLContext | None:
    if not connection_string.startswith("couchbases://"):
        return None
    return ssl.create_default_context(cafile=ca_file)


async def _try(host: str, port: int, trust: ssl.SSLContext | None) -> str:
    try:
        async with asyncio.timeout(_WITHIN_S):
            _, writer = await asyncio.open_connection(host, port, ssl=trust)
    except TimeoutError:
        return "does not answer"
    except socket.gaierror:
        return "is no name that is known"
    except ssl.SSLCertVerificationError as fault:
        return certificate_words(fault, "caFile")
    except ssl.SSLError:
        return "speaks no TLS; write couchbase://, or the port of its data service with TLS"
    except OSError as fault:
        return f"cannot be connected to: {strerror(fault.errno or 0).lower()}"
    writer.close()
    return "is there, and is no data service of Couchbase that answers in time"
