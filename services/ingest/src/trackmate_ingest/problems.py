"""
Refusals, as RFC 9457 problem documents: what is wrong, where, and what cures it.

An SDK drops events only on such an answer, never on a proxy's; so every refusal of ours is one, and
carries the CORS headers without which a browser sees a network error and repeats for ever.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

Headers = list[tuple[bytes, bytes]]

CORS: Headers = [
    (b"access-control-allow-origin", b"*"),  # no credentials, so nothing to tell apart
    (b"access-control-expose-headers", b"Retry-After"),
]

_ALLOWED = (
    b"Authorization",
    b"Content-Encoding",
    b"Content-Type",
    b"Idempotency-Key",
    b"X-Retry-Count",
    b"X-Trackmate-Key",
)

PREFLIGHT: Headers = [
    *CORS,
    (b"access-control-allow-methods", b"GET, POST, OPTIONS"),
    (b"access-control-allow-headers", b", ".join(_ALLOWED)),
    (b"access-control-max-age", b"600"),
]


@dataclass(frozen=True)
class Kind:
    """A kind of refusal: one row of the table in docs/http.md."""

    name: str
    status: int
    title: str


MALFORMED = Kind("malformed", 400, "The body is not what this route takes")
BAD_REQUEST = Kind("bad-request", 400, "The request is not valid HTTP for this server")
UNAUTHORIZED = Kind("unauthorized", 401, "No valid write key")
FORBIDDEN = Kind("forbidden", 403, "The key does not allow this")
NOT_FOUND = Kind("not-found", 404, "No such route")
METHOD_NOT_ALLOWED = Kind("method-not-allowed", 405, "The route does not take this method")
TOO_SLOW = Kind("too-slow", 408, "The request did not arrive in time")
TOO_LARGE = Kind("too-large", 413, "More than the limit")
URI_TOO_LONG = Kind("uri-too-long", 414, "The path and query are too long")
UNSUPPORTED = Kind("unsupported", 415, "The content type or encoding is not taken here")
MISDIRECTED = Kind("misdirected", 421, "The host belongs to no affiliate here")
TOO_MANY = Kind("too-many", 429, "Over the rate limit")
HEADERS_TOO_LARGE = Kind("headers-too-large", 431, "Too many or too large headers")
FAILED = Kind("failed", 500, "A fault of this server")
UNAVAILABLE = Kind("unavailable", 503, "Not confirmed; repeating is safe")

_BEARER: Headers = [(b"www-authenticate", b'Bearer realm="trackmate"')]
"""Of every 401 (RFC 9110 11.6.1)."""

KINDS = (
    MALFORMED,
    BAD_REQUEST,
    UNAUTHORIZED,
    FORBIDDEN,
    NOT_FOUND,
    METHOD_NOT_ALLOWED,
    TOO_SLOW,
    TOO_LARGE,
    URI_TOO_LONG,
    UNSUPPORTED,
    MISDIRECTED,
    TOO_MANY,
    HEADERS_TOO_LARGE,
    FAILED,
    UNAVAILABLE,
)


class Refused(Exception):  # noqa: N818 - a decision, not an error of ours
    """Ends a request with a problem document."""

    def __init__(
        self,
        kind: Kind,
        detail: str,
        *,
        headers: Headers | None = None,
        **members: int | str | None,
    ) -> None:
        super().__init__(detail)
        self.answer = Answer.problem(kind, detail, headers=headers, members=members)


class Answer(NamedTuple):
    """A whole HTTP answer, before it meets the wire."""

    status: int
    headers: Headers
    body: bytes
    kind: str = ""

    @classmethod
    def problem(
        cls,
        kind: Kind,
        detail: str,
        *,
        headers: Headers | None = None,
        members: Mapping[str, int | str | None] | None = None,
    ) -> "Answer":
        document = {
            "type": f"urn:trackmate:problem:{kind.name}",
            "title": kind.title,
            "status": kind.status,
            "detail": detail,
        }
        document.update(
            (name, value) for name, value in (members or {}).items() if value is not None
        )
        body = json.dumps(document).encode() + b"\n"
        head = [
            (b"content-type", b"application/problem+json"),
            (b"content-length", b"%d" % len(body)),
            *CORS,
            *(_BEARER if kind is UNAUTHORIZED else []),
            *(headers or []),
        ]
        return cls(kind.status, head, body, kind.name)

    def raw(self) -> bytes:
        """The bytes for a connection that has no request cycle to answer through; it closes."""
        lines = [b"HTTP/1.1 %d %s" % (self.status, self.kind.encode())]
        lines += [name + b": " + value for name, value in self.headers]
        return b"\r\n".join([*lines, b"connection: close", b"", self.body])


def retry_after(seconds: float) -> Headers:
    """
    >>> retry_after(0.2)
    [(b'retry-after', b'1')]
    """
    return [(b"retry-after", b"%d" % max(1, -(-seconds // 1)))]
