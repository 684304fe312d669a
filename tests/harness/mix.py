"""
The requests of a load: single events and batches, by several routes, of known ids and bytes.

Request `n` of a seed is always the same, so a run that failed can be sent again. Some requests are
faulty: what is refused must not be found stored.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import NamedTuple


class Sent(NamedTuple):
    """One event, as its sender knows it."""

    stream: str
    id: str
    value: bytes
    raw: bool = False


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is sent at once."""

    name: str
    target: str
    body: bytes
    events: tuple[Sent, ...]
    media: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    valid: bool = True
    """Whether a healthy server stores it; what is not valid it refuses."""
    pieces: int = 1
    """In how many parts it goes out: one of several is half received for a while."""


def mix(seed: int) -> Iterator[Request]:
    """The requests of a seed, without end."""
    number = 0
    while True:
        rng = Random(f"{seed}/{number}")
        (shape,) = rng.choices(_SHAPES, _WEIGHTS)
        yield shape(rng, f"s{seed}-{number}")
        number += 1


def _event(rng: Random, event_id: str, stream: str) -> Sent:
    """An event whose bytes no re-encoding keeps. It holds its id three times: see `synced`."""
    space = rng.choice(("", " ", "\n", "\t "))
    filler = "".join(rng.choices("abc 123é世", k=int(rng.expovariate(1 / 200))))
    text = (
        f'{{"messageId":{space}"{event_id}", "type":"track","event":"Load",{space}'
        f'"n":{rng.randrange(10**25)},"filler":"{filler}" ,"again":["{event_id}","{event_id}"]}}'
    )
    return Sent(stream, event_id, text.encode())


def _batch_of(rng: Random, name: str, stream: str) -> tuple[Sent, ...]:
    return tuple(_event(rng, f"{name}-{index}.", stream) for index in range(rng.randint(2, 12)))


def _stream(rng: Random) -> str:
    return rng.choice(("events", "images"))


def _pieces(rng: Random) -> int:
    return rng.choice((1, 1, 1, 2, 3))


def _alone(rng: Random, name: str) -> Request:
    event = _event(rng, f"{name}-0.", _stream(rng))
    target = f"/v1/events?stream={event.stream}"
    return Request(name=name, target=target, body=event.value, events=(event,), pieces=_pieces(rng))


def _array(rng: Random, name: str) -> Request:
    events = _batch_of(rng, name, _stream(rng))
    body = b"[ " + b" ,\n".join(event.value for event in events) + b"]"
    target = f"/v1/events?stream={events[0].stream}"
    return Request(name=name, target=target, body=body, events=events, pieces=_pieces(rng))


def _lines(rng: Random, name: str) -> Request:
    events = _batch_of(rng, name, "events")
    body = b"\r\n".join(event.value for event in events)
    media = "application/x-ndjson"
    return Request(name=name, target="/v1/events", media=media, body=body, events=events)


def _call(rng: Random, name: str) -> Request:
    event = _event(rng, f"{name}-0.", "events")
    target = f"/v1/{rng.choice(('track', 'page', 'i'))}"
    return Request(name=name, target=target, body=event.value, events=(event,), pieces=_pieces(rng))


def _batch(rng: Random, name: str) -> Request:
    events = _batch_of(rng, name, "events")
    body = b'{"batch": [' + b", ".join(event.value for event in events) + b'], "sentAt": "now"}'
    return Request(name=name, target="/v1/batch", body=body, events=events, pieces=_pieces(rng))


def _raw(rng: Random, name: str) -> Request:
    value = rng.randbytes(rng.randrange(400)) + b".".join([f"{name}-0".encode()] * 3)
    return Request(
        name=name,
        target="/v1/raw/images",
        media="image/png",
        body=value,
        events=(Sent("images", f"{name}-0:0", value, raw=True),),
        headers=(("Idempotency-Key", f"{name}-0"),),
    )


def _malformed(rng: Random, name: str) -> Request:
    """Its first events are whole, its last is not: none may be stored."""
    events = _batch_of(rng, name, "events")
    body = b"[" + b",".join(event.value for event in events)[:-1] + b"]"
    return Request(name=name, target="/v1/events", body=body, events=events, valid=False)


def _stranger(rng: Random, name: str) -> Request:
    """Refused for its key: known to the server before the body has come."""
    event = _event(rng, f"{name}-0.", "events")
    return Request(
        name=name,
        target="/v1/events",
        body=event.value,
        events=(event,),
        headers=(("Authorization", "Bearer tmw_nobody"),),
        valid=False,
        pieces=3,
    )


_SHAPES: tuple[Callable[[Random, str], Request], ...] = (
    _alone,
    _array,
    _lines,
    _call,
    _batch,
    _raw,
    _malformed,
    _stranger,
)
_WEIGHTS = (4, 2, 2, 2, 2, 2, 1, 1)
