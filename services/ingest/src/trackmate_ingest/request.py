"""
What a request says about itself, read once from its ASGI scope: host, key, stream, content type.
Pure; `collect` decides what follows.
"""

import binascii
import re
from base64 import b64decode
from collections.abc import MutableMapping
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from trackmate_ingest import problems
from trackmate_ingest.problems import Refused
from trackmate_ingest.routes import RAW_PREFIX, Route, Shape

Scope = MutableMapping[str, Any]

MAX_HEADERS = 100
MAX_URL = 8192  # bytes of path and query

_MEDIA_TYPES = {
    b"": "sniffed",
    b"application/json": "json",
    b"application/x-ndjson": "lines",
    b"application/ndjson": "lines",
    b"text/plain": "sniffed",
}
_FORM = b"application/x-www-form-urlencoded"  # what RudderStack's Node SDK calls its gzipped JSON
_COUNT = re.compile(r"[0-9]{1,6}")  # a client may say anything
_CHARSETS = {b"utf-8", b"us-ascii"}


class Presented(NamedTuple):
    """A write key as the client showed it."""

    value: bytes
    in_url: bool = False


class Request:
    """One request to a route that takes events."""

    __slots__ = ("head", "query", "route", "scope")

    def __init__(self, route: Route, scope: Scope) -> None:
        """Raises Refused where host, headers or address are not what HTTP allows."""
        headers = scope["headers"]
        self.route = route
        self.scope = scope
        self.head: dict[bytes, bytes] = dict(headers)
        if len(self.head) != len(headers) or len(headers) > MAX_HEADERS:
            _check_fields(headers)
        query = scope["query_string"]
        self.query: dict[str, list[str]] = _parse_query(query) if query else {}

    @property
    def host(self) -> bytes:
        return self.head.get(b"host", b"")

    def presented(self) -> Presented | None:
        """The key, by the first way that is used; None when the request itself shows none."""
        authorization = self.head.get(b"authorization")
        if authorization is not None:
            return Presented(_from_authorization(authorization))
        own = self.head.get(b"x-trackmate-key")
        if own is not None:
            return Presented(own.strip())
        in_url = self.query.get("key")
        return Presented(in_url[0].encode(), in_url=True) if in_url else None

    def stream(self) -> str | None:
        """The stream that the address names, if it does."""
        if self.route.shape is Shape.RAW:
            name: str = self.scope["path"][len(RAW_PREFIX) :]
            return name
        named = self.query.get("stream")
        return named[0] if named else None

    def lost(self) -> int:
        """How many events the client lost before this request, as an SDK of ours tells it."""
        told = self.query.get("dropped")
        return int(told[0]) if told and _COUNT.fullmatch(told[0]) else 0

    def media(self) -> str:
        """How the body is to be read: json, lines or sniffed. Raises Refused, 415."""
        raw = self.head.get(b"content-type", b"")
        media = _MEDIA_TYPES.get(raw)
        if media is not None:
            return media
        if raw == _FORM and self.route.shape is not Shape.EVENTS:
            return "sniffed"
        return _parse_media(raw)

    def text(self, header: bytes, *, longest: int = 1024) -> str | None:
        """A header as text that is safe to keep, or None."""
        value = self.head.get(header)
        return value.decode("latin-1")[:longest] if value else None


def one_host(scope: Scope) -> bytes:
    """The Host of a request that takes no events; b"" without one. Raises Refused for several."""
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    if len(hosts) > 1:
        raise _too_many_hosts(len(hosts))
    return hosts[0] if hosts else b""


def _too_many_hosts(count: int) -> Refused:
    return Refused(
        problems.BAD_REQUEST,
        f"The request has {count} Host headers. Send exactly one, as RFC 9112 3.2 asks.",
    )


def _check_fields(headers: list[tuple[bytes, bytes]]) -> None:
    if len(headers) > MAX_HEADERS:
        raise Refused(
            problems.HEADERS_TOO_LARGE,
            f"The request has {len(headers)} header fields. Send at most {MAX_HEADERS}.",
        )
    hosts = sum(name == b"host" for name, _ in headers)
    if hosts > 1:
        raise _too_many_hosts(hosts)


def _parse_query(query: bytes) -> dict[str, list[str]]:
    if len(query) > MAX_URL:
        raise Refused(
            problems.URI_TOO_LONG,
            f"The query has {len(query)} bytes. Send at most {MAX_URL}, and events in the body.",
        )
    return parse_qs(query.decode("latin-1"), keep_blank_values=True)


def _from_authorization(value: bytes) -> bytes:
    scheme, _, rest = value.partition(b" ")
    rest = rest.strip()
    if scheme.lower() == b"bearer":
        return rest
    if scheme.lower() == b"basic":
        try:
            return b64decode(rest, validate=True).partition(b":")[0]
        except binascii.Error:
            return b""
    return b""


def _parse_media(raw: bytes) -> str:
    name, *parameters = raw.lower().split(b";")
    media = _MEDIA_TYPES.get(name.strip())
    if media is None:
        raise Refused(
            problems.UNSUPPORTED,
            f"Content-Type {raw.decode('latin-1')[:200]!r} is not taken here. "
            "Send application/json, application/x-ndjson or text/plain; any other type goes to "
            "/v1/raw/{stream}.",
        )
    for parameter in parameters:
        name, _, value = parameter.partition(b"=")
        if name.strip() == b"charset" and value.strip(b' "') not in _CHARSETS:
            raise Refused(
                problems.UNSUPPORTED,
                f"The charset {value.decode('latin-1')[:50]!r} is not taken: JSON is UTF-8 "
                "(RFC 8259 8.1). Send the body in UTF-8.",
            )
    return media
