"""
The consume loop: read, translate, write, settle, commit. In this order, so that a crash repeats
events and never loses them; and what is repeated is recognised.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from trackmate_consume.ledger import Counts, Outcome, Place, Settled
from trackmate_consume.sinks import Down, Sink, Translated
from trackmate_consume.source import Fetched, Source
from trackmate_contract.record import Record

Translate = Callable[[Record], Translated]
Result = TypeVar("Result")

_MOST = 500  # records a step: bounds memory, and how long one step keeps the event loop
_WAIT_S = 0.05  # for a step to fill: a write for each event would cost more than the events
_LONGEST_WAIT_S = 30.0  # between tries while a sink is down
_STORED = frozenset({Outcome.DELIVERED, Outcome.CONFLICT})

_log = logging.getLogger("trackmate.consume")


class Pipeline:
    """Moves the records of one source into one sink. `last_error` is "" when all is well."""

    def __init__(self, name: str, source: Source, translate: Translate, sink: Sink) -> None:
        self.name = name
        self.last_error = ""
        self._source = source
        self._translate = translate
        self._sink = sink

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            await self.step()

    async def step(self) -> None:
        """Settle the next records, however long that takes."""
        fetched = await self._persist(lambda: self._source.read(most=_MOST, wait_s=_WAIT_S))
        settled = await self._persist(lambda: self._settle(fetched))
        await self._persist(lambda: self._source.commit(settled))

    async def _settle(self, fetched: Fetched) -> Settled:
        documents = [self._translate(record) for record in fetched.records]
        outcomes = await self._sink.write(documents) if documents else ()
        return Settled(_positions(fetched), _counts(fetched, outcomes))

    async def _persist(self, attempt: Callable[[], Awaitable[Result]]) -> Result:
        """
        Repeat until it is done: with full jitter, and without limit.

        A fault that is no outage repeats too: to go on would lose events, and to stop would hide
        that they wait.
        """
        tries = 0
        while True:
            try:
                result = await attempt()
            except Exception as fault:  # noqa: BLE001 - see above
                self._note(fault)
                longest = min(_LONGEST_WAIT_S, 0.1 * 2**tries)
                await asyncio.sleep(random.uniform(0, longest))  # noqa: S311 - spreads the tries
                tries = min(tries + 1, 10)
            else:
                self._note(None)
                return result

    def _note(self, fault: Exception | None) -> None:
        """Log the change and not each try."""
        error = "" if fault is None else str(fault) or type(fault).__name__
        if error != self.last_error:
            _log.log(
                logging.WARNING if isinstance(fault, Down | None) else logging.ERROR,
                "waits" if error else "goes on",
                extra={"fields": {"pipeline": self.name, "error": error}},
                exc_info=None if isinstance(fault, Down) else fault,
            )
        self.last_error = error


def _counts(fetched: Fetched, outcomes: Sequence[Outcome]) -> Counts:
    made = sum(outcome in _STORED for outcome in outcomes)
    return Counts.of(outcomes, expired=fetched.expired, documents=made)


def _positions(fetched: Fetched) -> dict[Place, int]:
    """In the order of the records, so the last of each place stays."""
    return {(r.stream, r.partition): r.offset + 1 for r in fetched.records}
