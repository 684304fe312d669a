"""
Write keys: who may send to which affiliate, from which origins and until when.

Keys are looked up by their SHA-256, so the time a look-up takes says nothing about a key.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from typing import Generic, TypeVar
from urllib.parse import urlsplit

Owner = TypeVar("Owner")


class Use(StrEnum):
    """Where a key lives: in pages that anyone can read, or on servers."""

    BROWSER = "Browser"
    SERVER = "Server"


@dataclass(frozen=True, slots=True)
class WriteKey:
    """One key of one affiliate."""

    name: str
    value: str = field(repr=False)
    use: Use = Use.BROWSER
    origins: frozenset[str] = frozenset()
    """Origins a browser may send from; empty means any. Not a protection: others can forge it."""
    expires_ms: int | None = None
    """Refused from this time on. Milliseconds since 1970."""
    requests_per_second: float | None = None
    bytes_per_second: float | None = None

    def allows(self, origin: str) -> bool:
        """
        >>> key = WriteKey("web", "k", origins=frozenset({"https://www.acme.example"}))
        >>> key.allows("https://www.acme.example"), key.allows("https://evil.example")
        (True, False)
        """
        return not self.origins or origin in self.origins

    def expired(self, now_ms: int) -> bool:
        return self.expires_ms is not None and now_ms >= self.expires_ms


class KeyRing(Generic[Owner]):
    """The keys that one host accepts, each with what it opens."""

    def __init__(self, keys: Iterable[tuple[WriteKey, Owner]] = ()) -> None:
        self._by_digest = {sha256(key.value.encode()).digest(): (key, owner) for key, owner in keys}

    def find(self, presented: bytes) -> tuple[WriteKey, Owner] | None:
        """
        >>> ring = KeyRing([(WriteKey("web", "tmw_1"), "acme")])
        >>> ring.find(b"tmw_1")[1], ring.find(b"tmw_2")
        ('acme', None)
        """
        return self._by_digest.get(sha256(presented).digest())


def is_loopback_origin(origin: str) -> bool:
    """
    Whether a page of this machine sent the request.

    >>> is_loopback_origin("http://localhost:5173"), is_loopback_origin("https://evil.example")
    (True, False)
    """
    try:
        host = urlsplit(origin).hostname or ""
    except ValueError:
        return False
    return is_loopback(host)


def is_loopback(host: str) -> bool:
    """
    Whether a host name, without port or brackets, means this machine (RFC 6761, RFC 1122).

    >>> [is_loopback(h) for h in ("127.0.0.1", "localhost", "::1", "127.0.0.1.evil.example")]
    [True, True, True, False]
    """
    if host in {"localhost", "::1"} or host.endswith(".localhost"):
        return True
    parts = host.split(".")
    return len(parts) == 4 and parts[0] == "127" and all(p.isdecimal() for p in parts)  # noqa: PLR2004
