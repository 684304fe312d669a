"""
Clients as SDKs are: each has one request under way, repeats it with the same bytes until it is
answered, and reconnects for ever. Its events bear its session and count on, so that what is lost,
altered or out of order can be told.
"""

import asyncio
import json
from collections.abc import Iterator
from random import Random

from mix import Request, Sent
from traffic import UNKNOWN, Attempt, Ledger, Load, Outcome, Streams

_AGAIN_S = 0.05  # after a refused connection or an answer that says nothing
STREAM = "events"


def session(seed: int, number: int) -> Iterator[Request]:
    """The requests of one session, without end: single events and small batches."""
    rng = Random(f"{seed}/{number}")
    sequence = 0
    while True:
        amount = rng.choice((1, 1, 2, 5))
        events = tuple(_event(rng, seed, number, sequence + index) for index in range(amount))
        sequence += amount
        body = b"[%b]" % b" ,\n".join(event.value for event in events)
        name = f"{seed}-{number}-{sequence}"
        yield Request(name=name, target="/v1/events", body=body, events=events)


def _event(rng: Random, seed: int, number: int, sequence: int) -> Sent:
    filler = "".join(rng.choices("abc é世", k=rng.randrange(200)))
    event_id = f"s{seed}-{number}-{sequence}"
    text = (
        f'{{"messageId": "{event_id}",\t"anonymousId":"c{number}","seq":{sequence}, '
        f'"n":{rng.randrange(10**25)},"filler":"{filler}"}}'
    )
    return Sent(STREAM, event_id, text.encode())


def place_of(value: bytes) -> tuple[str, int]:
    """The session of an event, and its number in it."""
    told = json.loads(value)
    return told["anonymousId"], told["seq"]


class Sessions(Load):
    """So many sessions at once, until they are stopped."""

    def __init__(self, url: str, key: str, ledger: Ledger, *, seed: int, number: int) -> None:
        super().__init__(url, key, ledger)
        for session_number in range(number):
            self.begin(session(seed, session_number), connections=1)

    async def _client(self, requests: Iterator[Request]) -> None:
        request = next(requests)
        while not self._stopping:
            try:
                streams = await self._connect()
            except OSError:
                self.ledger.refused_connections += 1
                await asyncio.sleep(_AGAIN_S)
                continue
            try:
                request = await self._send_on(streams, request, requests)
            finally:
                streams[1].transport.abort()

    async def _send_on(
        self, streams: Streams, request: Request, requests: Iterator[Request]
    ) -> Request:
        """Send on one connection as long as it lasts; return what is to be sent next."""
        while not self._stopping:
            attempt = await self._attempt(streams, request)
            self._note(attempt)
            if attempt.outcome is Outcome.OK:
                request = next(requests)
            elif attempt.outcome in UNKNOWN:
                await asyncio.sleep(_AGAIN_S)
            if attempt.answer is None or attempt.answer.headers.get("connection") == "close":
                break
        return request

    def _note(self, attempt: Attempt) -> None:
        self.ledger.attempts.append(attempt)
        self._changed.set()
