"""
The hot path: one request in, its events in the log, one answer out.

In front of the FastAPI app, because routing and validation by a framework cost several times what
the work itself costs. The whole request is checked before the first append, so there is no partial
success.
"""

import random
import time
from collections.abc import Awaitable, Callable, MutableMapping
from functools import lru_cache
from typing import Any

from trackmate_contract.affiliate import Limits
from trackmate_contract.record import Stamp
from trackmate_ingest import addresses, problems
from trackmate_ingest.ids import with_ids
from trackmate_ingest.inflate import inflate
from trackmate_ingest.intake import Directory, Found, Intake
from trackmate_ingest.keys import Use, WriteKey, is_loopback_origin
from trackmate_ingest.log import Unavailable
from trackmate_ingest.metrics import Metrics
from trackmate_ingest.problems import CORS, Answer, Refused, retry_after
from trackmate_ingest.refusals import NO_BATCH, NO_EVENT, NO_NEWLINE, NO_OBJECT
from trackmate_ingest.request import Presented, Request
from trackmate_ingest.routes import Shape
from trackmate_ingest.scanning import TOO_DEEP
from trackmate_ingest.slicing import Malformed, OverLimit, Sliced, Slicer, write_key

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

_READERS: dict[str, Callable[[Slicer, bytes], list[Sliced]]] = {
    "json": Slicer.json,
    "lines": Slicer.lines,
    "sniffed": Slicer.sniffed,
}


_OF_JSON = frozenset({NO_EVENT, NO_OBJECT, NO_BATCH, NO_NEWLINE, TOO_DEEP})
"""What can be wrong with a body that is JSON."""


class Gone(Exception):  # noqa: N818 - an event, not an error
    """The client went away before its request was complete; nobody waits for an answer."""


class Collector:
    """Takes events for the affiliates of a directory."""

    def __init__(self, directory: Directory, metrics: Metrics) -> None:
        self.directory = directory
        self._metrics = metrics

    async def take(self, request: Request, receive: Receive) -> Answer:
        """Store the events of one request. Raises Refused, or Gone."""
        directory = self.directory
        ring = directory.ring(request.host)
        presented = request.presented()
        if presented is not None:
            found = self._open(ring.find(presented.value), presented, request)
            body = await _read(request, receive, found[1].limits)
        else:  # Segment's clients may name their key in the body alone
            if request.route.shape not in {Shape.CALL, Shape.BATCH}:
                raise _no_key()
            body = await _read(request, receive, directory.widest)
            presented = Presented(_key_in(body))
            found = self._open(ring.find(presented.value), presented, request)
            _check_size(body, found[1].limits.body_bytes)
        return await self._store(found, request, body)

    def _open(self, found: Found | None, presented: Presented, request: Request) -> Found:
        """Check what the key allows, and count the request against its rates."""
        if found is None:
            raise _unknown_key()
        key, intake = found
        check_key(key, request, in_url=presented.in_url, loopback=self.directory.loopback)
        now = time.monotonic()
        for rate in intake.rates(key):
            wait = rate.requests.wait(1, now)
            if wait:
                raise _too_many("requests", rate.whose, wait)
        return found

    async def _store(self, found: Found, request: Request, body: bytes) -> Answer:
        key, intake = found
        stream = _stream(intake, request)
        sliced = _slice(intake.slicers[stream], request, body)
        now = time.monotonic()
        for rate in intake.rates(key):
            wait = rate.bytes.wait(len(body), now)
            if wait:
                raise _too_many("bytes", rate.whose, wait)
        stamp = _stamp(key, intake, request)
        events = with_ids(sliced, request.head.get(b"idempotency-key"))
        try:
            await intake.log.append(stream, stamp, events)
        except Unavailable as why:
            raise Refused(
                problems.UNAVAILABLE,
                f"{why} Repeat the same request with the same ids: that is safe.",
                headers=retry_after(random.uniform(1, 5)),  # noqa: S311 - spreads the repeats
            ) from why
        self._metrics.stored(
            intake.name, stream, events=len(events), size=len(body), lost=request.lost()
        )
        return _stored(len(events))


def check_key(key: WriteKey, request: Request, *, in_url: bool, loopback: bool) -> None:
    """Raises Refused where the key is known and yet does not open this request."""
    if in_url and key.use is Use.SERVER:
        raise Refused(
            problems.UNAUTHORIZED,
            f"The key {key.name!r} is a server key, and addresses end up in logs. "
            "Send it in the Authorization header, or use a browser key.",
        )
    if key.expired(time.time_ns() // 1_000_000):
        raise Refused(
            problems.UNAUTHORIZED,
            f"The key {key.name!r} has expired. Ask the platform team for the current one.",
        )
    origin = request.text(b"origin")
    if origin is None or key.allows(origin) or (loopback and is_loopback_origin(origin)):
        return
    raise Refused(
        problems.FORBIDDEN,
        f"The key {key.name!r} may not be used from {origin!r}. "
        "Add that origin to the key's origins in the Affiliate.",
    )


async def _read(request: Request, receive: Receive, limits: Limits) -> bytes:
    """The whole body, decompressed."""
    limit = limits.body_bytes
    request.scope["body_timeout_s"] = limits.body_timeout_s  # the connection keeps the time
    declared = request.head.get(b"content-length")
    if declared is not None and int(declared) > limit:
        raise _body_too_large(limit)
    message = await receive()
    body: bytes = message.get("body", b"")
    if message.get("more_body"):
        body = await _read_on(body, receive, limit)
    elif message["type"] == "http.disconnect":
        raise Gone
    encoding = request.head.get(b"content-encoding")
    return inflate(body, encoding, limit=limit) if encoding else body


async def _read_on(body: bytes, receive: Receive, limit: int) -> bytes:
    parts, size, more = [body], len(body), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            raise _body_too_large(limit)
        more = message.get("more_body", False)
    return b"".join(parts)


def _key_in(body: bytes) -> bytes:
    try:
        key = write_key(body)
    except Malformed as fault:
        raise _malformed(fault) from None
    if key is None:
        raise _no_key()
    return key.encode()


def _slice(slicer: Slicer, request: Request, body: bytes) -> list[Sliced]:
    try:
        return _reader(request)(slicer, body)
    except Malformed as fault:
        raise _malformed(fault) from None
    except OverLimit as fault:
        raise _over_limit(fault) from None


def _reader(request: Request) -> Callable[[Slicer, bytes], list[Sliced]]:
    """How this request's body is cut into events."""
    shape = request.route.shape
    if shape is Shape.RAW:
        return Slicer.whole
    media = request.media()
    if shape is Shape.EVENTS:
        return _READERS[media]
    if media == "lines":
        raise Refused(
            problems.UNSUPPORTED,
            "Segment routes take one JSON object. Send application/json or text/plain, "
            "or send NDJSON to /v1/events.",
        )
    return Slicer.batch if shape is Shape.BATCH else Slicer.call


def _stream(intake: Intake, request: Request) -> str:
    name = request.stream() or intake.default_stream
    if name in intake.slicers:
        return name
    raise Refused(
        problems.FORBIDDEN,
        f"Affiliate {intake.name!r} has no stream {name[:100]!r}; it has "
        f"{', '.join(sorted(intake.slicers))}. Name one of them, or add it to spec.streams.",
    )


def _stamp(key: WriteKey, intake: Intake, request: Request) -> Stamp:
    privacy = intake.privacy
    client = request.scope.get("client")
    content_type = None
    if request.route.shape is Shape.RAW:
        content_type = request.text(b"content-type") or "application/octet-stream"
    return Stamp(
        time.time_ns() // 1_000_000,
        key.name,
        request.route.type,
        content_type,
        addresses.shown(client[0], privacy.ip) if client else None,
        request.text(b"user-agent") if privacy.user_agent else None,
        request.text(b"origin") if privacy.origin else None,
    )


@lru_cache(maxsize=1024)
def _stored(events: int) -> Answer:
    body = b'{"status":"stored","events":%d}\n' % events
    return Answer(
        200,
        [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            *CORS,
        ],
        body,
    )


def _check_size(body: bytes, limit: int) -> None:
    if len(body) > limit:
        raise _body_too_large(limit)


def _body_too_large(limit: int) -> Refused:
    return Refused(
        problems.TOO_LARGE,
        f"The body is over {limit} bytes. Send smaller batches.",
        limit=limit,
    )


def _no_key() -> Refused:
    return Refused(
        problems.UNAUTHORIZED,
        "The request has no write key. Send it as 'Authorization: Bearer KEY', as the user name of "
        "Basic authentication, in X-Trackmate-Key, or, for a browser key, as ?key=.",
    )


def _unknown_key() -> Refused:
    return Refused(
        problems.UNAUTHORIZED,
        "This write key is not known for this host. Check that it was copied whole and belongs to "
        "this affiliate; the platform team sees the keys with 'trackmate keys list'.",
    )


def _too_many(what: str, whose: str, wait: float) -> Refused:
    return Refused(
        problems.TOO_MANY,
        f"More {what} a second than the limit of {whose}. Wait as Retry-After says and repeat; "
        "if the traffic is wanted, raise spec.ingest.limits.",
        headers=retry_after(wait),
    )


def _malformed(fault: Malformed) -> Refused:
    wanted = "what this route takes" if fault.what in _OF_JSON else "JSON as RFC 8259 defines it"
    where = f"event {fault.index}, " if fault.index is not None else ""
    return Refused(
        problems.MALFORMED,
        f"Not {wanted}, at {where}byte {fault.offset}: {fault.what}. "
        "Nothing of the request was stored; mend it and send it again.",
        event=fault.index,
        offset=fault.offset,
    )


def _over_limit(fault: OverLimit) -> Refused:
    return Refused(
        problems.TOO_LARGE,
        f"{fault} Nothing of the request was stored.",
        event=fault.index,
        limit=fault.limit,
    )
