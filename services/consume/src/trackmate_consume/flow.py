"""
The consume loop: read, translate, write, settle, commit. In this order, so that a crash repeats
events and never loses them; and what is repeated is recognised.

One task reads ahead, as many as the sink has lanes write, one commits. An event that the sink
refuses is tried again beside the others, and put aside as a dead letter when the sink has taken
others for long enough; while the sink takes nothing, everything waits.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from trackmate_consume.backoff import backoff_s
from trackmate_consume.ledger import Outcome
from trackmate_consume.letters import SINK_REFUSED, DeadLetter, DeadLetters
from trackmate_consume.program import Dead, Filtered, Result
from trackmate_consume.sink import Disabled, Down, Refused, Sink, Translated
from trackmate_consume.source import Ended, Source
from trackmate_consume.storm import Storm
from trackmate_consume.waiting import Entry, Waiting
from trackmate_consume.window import Window
from trackmate_contract.record import Record

Done = TypeVar("Done")

_READ_MOST = 500  # records: bounds how long translating them keeps the event loop
_LONGEST_WAIT_S = 30.0  # between tries while the sink is down
_LONGEST_ASIDE_S = 300.0  # between tries of an event that was set aside
_LONGEST_ASKED_S = 3600.0  # that a sink may ask to be left alone
_KEPT = frozenset({Outcome.DELIVERED, Outcome.CONFLICT})

_log = logging.getLogger("trackmate.consume")


@dataclass(frozen=True)
class Pace:
    """How events are handed to the sink."""

    events: int = 500
    """In a batch, at most."""
    bytes: int = 1 << 20
    """Of the events in a batch, at most; one event may be larger."""
    wait_s: float = 0.05
    """For a batch to fill."""
    retry_s: float = 72 * 3600.0
    """How long an event is tried that is refused while others are taken."""
    per_key: bool = True
    """Whether events of one key keep their order."""


class Program(Protocol):
    """What makes documents of records, as `trackmate_consume.program.Program` does."""

    async def translate(self, records: Sequence[Record]) -> Sequence[Result]:
        """One result a record, in order."""


@dataclass(frozen=True)
class Ends:
    """What a flow moves records between."""

    source: Source
    program: Program
    sink: Sink
    letters: DeadLetters


class Flow:
    """
    Moves the records of one source into one sink.

    `pause` is called, with the reason, when the flow must not go on by itself: the sink wants no
    more documents, or dead letters storm. `last_error` is "" when all is well.
    """

    def __init__(
        self, name: str, ends: Ends, pace: Pace, pause: Callable[[str], Awaitable[None]]
    ) -> None:
        self.name = name
        self.last_error = ""
        self.settled = 0
        """Events since the start."""
        self.reads = False
        """Whether the source gave anything, if only that it reads."""
        self.going = asyncio.Event()
        """Cleared while the pipeline is paused."""
        self._ends = ends
        self._pace = pace
        self._pause = pause
        self._window = Window()
        self._waiting = Waiting(lanes=ends.sink.lanes)
        self._storm = Storm()
        self._changed = _Signal()
        self._resumed = _Signal()
        self._advanced = asyncio.Event()
        self._writing = 0
        self._tries = 0
        self._taken_at = -1.0  # when the sink last took something
        self._aside_at = -1.0  # when an event was last set aside for the first time
        self._outage = False
        self._answers = False  # whether the last fault was an answer about events
        self._ended = False  # nothing more comes: a replay has been read
        self._left_alone_until = 0.0

    @property
    def aside(self) -> int:
        """How many events were refused and are tried again."""
        return len(self._waiting.aside)

    @property
    def outage(self) -> bool:
        """Whether the sink takes nothing, as far as is known."""
        if not self.last_error or self._outage:
            return bool(self.last_error)
        return not self._answers and not any(map(self._refused_alone, self._waiting.aside))

    async def run(self) -> None:
        """Run until the source ends, which only a replay does, or until cancelled."""
        lanes = [asyncio.create_task(self._write_on()) for _ in range(self._ends.sink.lanes)]
        working = (self._read_to_end(), self._commit_on(), self._end_with_source())
        tasks = [asyncio.create_task(work) for work in working]
        try:
            await _first_to_end([*tasks, *lanes])
        finally:
            await _cancelled([*tasks, *lanes])

    async def drain(self, *, at_most_s: float) -> None:
        """Take no more, and wait until what is being written is written and committed."""
        self.going.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(at_most_s):
                while self._writing or self._advanced.is_set():
                    await self._changed.wait()

    def resume(self) -> None:
        """Go on after a pause, as if nothing had been tried before."""
        self._storm = Storm()
        self._left_alone_until = 0.0
        self._tries = 0
        self._hasten_all()
        self.going.set()
        self._changed.set()
        self._resumed.set()

    def _hasten_all(self) -> None:
        self._waiting.hasten(*self._waiting.aside)

    async def _end_with_source(self) -> None:
        """
        What is here of partitions that went to another is his to write. While the sink takes
        nothing this waits: to join the group anew would take partitions from others, who could
        settle no more than we, and would join anew, and so on.
        """
        try:
            await self._ends.source.over()
        except Ended:
            while self.outage:
                await self._changed.wait()
            raise

    # reading

    async def _read_to_end(self) -> None:
        await self._read_on()
        self._ended = True
        self._hasten_all()
        self._changed.set()
        while len(self._window) or self._advanced.is_set():
            await self._changed.wait()

    async def _read_on(self) -> None:
        while True:
            await self._room()
            fetched = await self._persist(
                lambda: self._ends.source.read(most=_READ_MOST, wait_s=self._pace.wait_s)
            )
            self.reads = True
            if fetched is None:
                return
            if not fetched.records:
                continue
            per_key = self._pace.per_key
            entries = [Entry(record, record.key if per_key else None) for record in fetched.records]
            for index, events in fetched.expired.items():
                entries[index].expired = events
            self._window.add(entries)
            await self._translate(entries, fetched.records)

    async def _room(self) -> None:
        """Wait until it makes sense to read on."""
        ahead = max(_READ_MOST, 2 * self._pace.events)
        while self._waiting.ready >= ahead or self._window.full or not self.going.is_set():
            if self._window.full:
                self._give_way()
            await self._changed.wait()

    def _give_way(self) -> None:
        """An event that is refused must not stop its neighbours: there is no room to wait on."""
        oldest = self._window.oldest
        if oldest and oldest in self._waiting.aside and self._refused_alone(oldest):
            oldest.refused_s = self._pace.retry_s
            self._waiting.hasten(oldest)

    async def _translate(self, entries: Sequence[Entry], records: Sequence[Record]) -> None:
        results = await self._persist(lambda: self._ends.program.translate(records))
        ready: list[Entry] = []
        done: list[tuple[Entry, Filtered | Dead]] = []
        letters: list[DeadLetter] = []
        for entry, record, result in zip(entries, records, results, strict=True):
            if isinstance(result, Filtered):
                done.append((entry, result))
            elif isinstance(result, Dead):
                done.append((entry, result))
                letters.append(DeadLetter(record, result.reason, result.detail, 1))
            else:
                entry.translated = Translated(record, result)
                ready.append(entry)
        if letters:
            await self._persist(lambda: self._ends.letters.put(letters))
        for entry, verdict in done:
            outcome = Outcome.DEAD if isinstance(verdict, Dead) else Outcome.FILTERED
            entry.settle(outcome, reason=verdict.reason)
        self._waiting.add(ready)
        await self._note_settled([entry for entry, _ in done], dead=len(letters))

    # writing

    async def _write_on(self) -> None:
        """One lane: batches halve when they fail and double when they are taken."""
        most = self._pace.events
        while True:
            batch = await self._next_batch(most)
            self._writing += 1
            try:
                fault = await self._write(batch)
                if fault is None:
                    most = min(2 * most, self._pace.events)
                    continue
                most = max(1, len(batch) // 2)
                wait_s = await self._answer(batch, fault)
            finally:
                self._writing -= 1
                self._changed.set()
            if wait_s:
                await self._resumed.wait(wait_s)

    async def _next_batch(self, most: int) -> list[Entry]:
        while True:
            now = time.monotonic()
            due_at = self._waiting.next_due_at()
            if self.going.is_set() and now >= self._left_alone_until:
                batch = self._waiting.take(most=most, most_bytes=self._pace.bytes, now=now)
                if batch:
                    return batch
            if now < self._left_alone_until:
                due_at = self._left_alone_until
            at_most = None if due_at is None or not self.going.is_set() else max(0, due_at - now)
            await self._changed.wait(at_most)

    async def _write(self, batch: Sequence[Entry]) -> Exception | None:
        """Write a batch and settle it; return the fault where that is not possible."""
        try:
            outcomes = await self._ends.sink.write([entry.translated for entry in batch])
        except Exception as fault:  # noqa: BLE001 - no fault of a sink may end the pipeline
            return fault
        for entry, outcome in zip(batch, outcomes, strict=True):
            made = len(entry.translated.documents) if outcome in _KEPT else 0
            entry.settle_written(outcome, documents=made)
        self._taken_at = time.monotonic()
        self._tries = 0
        if self._outage:
            self._outage = False
            self._hasten_all()
        self._waiting.release(batch)
        if self.last_error and not self._waiting.aside:
            self._say(None)
        await self._note_settled(batch, dead=0)
        return None

    async def _answer(self, batch: list[Entry], fault: Exception) -> float:
        """Decide what becomes of a batch that failed; return how long to wait, in seconds."""
        if len(batch) == 1 or not isinstance(fault, Refused):
            self._say(fault)
        if len(batch) == 1 and await self._set_aside(batch[0], fault):
            return 0.0
        self._waiting.put_back(batch)
        if isinstance(fault, Disabled):
            await self._persist(lambda: self._pause(str(fault)))
            return 0.0
        if isinstance(fault, Down) and fault.after_s:
            asked = min(fault.after_s, _LONGEST_ASKED_S)
            self._left_alone_until = time.monotonic() + asked
        if isinstance(fault, Refused) and len(batch) > 1:
            return 0.0
        self._tries += 1
        return backoff_s(self._tries, longest_s=_LONGEST_WAIT_S)

    async def _set_aside(self, entry: Entry, fault: Exception) -> bool:
        """
        Whether an event that failed alone need not be tried again at once: it is a dead letter, or
        is tried later beside the others.

        Only one is set aside before the sink has taken another event: when the next fails too, it
        is the sink that is at fault and not the events.
        """
        if isinstance(fault, Disabled):
            return False
        now = time.monotonic()
        again = entry.tries > 0
        self._count_try(entry, fault, now)
        if again and (entry.refused_s >= self._pace.retry_s or self._is_final(fault)):
            await self._bury(entry, fault)
            return True
        alone = not self._waiting.aside or self._taken_at > self._aside_at
        if not again and not alone:
            entry.tries = 0
            self._outage = True
            return False
        if not again:
            self._aside_at = now
        rest_s = max(0.05, self._pace.retry_s - entry.refused_s)
        longest_s = _LONGEST_ASIDE_S if self._refused_alone(entry) else _LONGEST_WAIT_S
        wait_s = min(backoff_s(entry.tries, longest_s=longest_s), rest_s)
        if isinstance(fault, Down) and fault.after_s:
            wait_s = max(wait_s, min(fault.after_s, _LONGEST_ASKED_S))
        self._waiting.set_aside(entry, due_at=now + wait_s)
        return True

    def _is_final(self, fault: Exception) -> bool:
        """No other can be taken any more, so waiting for one would be for ever."""
        return self._ended and isinstance(fault, Refused)

    def _count_try(self, entry: Entry, fault: Exception, now: float) -> None:
        """
        Time counts against an event while the sink takes others: after a refusal, when it took one
        since the event was first tried; after no or another answer, when it took one meanwhile.
        """
        if not entry.tries:
            entry.failed_at = now
        elif self._taken_at > entry.tried_at or (
            isinstance(fault, Refused) and self._refused_alone(entry)
        ):
            entry.refused_s += now - entry.tried_at
        entry.tried_at = now
        entry.tries += 1

    def _refused_alone(self, entry: Entry) -> bool:
        return self._taken_at > entry.failed_at and not self._outage

    async def _bury(self, entry: Entry, fault: Exception) -> None:
        detail = f"{_words(fault)} (tried {entry.tries} times)"
        letter = DeadLetter(entry.translated.record, SINK_REFUSED, detail, entry.tries)
        await self._persist(lambda: self._ends.letters.put([letter]))
        entry.settle_written(Outcome.DEAD, reason=SINK_REFUSED)
        self._waiting.release([entry])
        if not self._waiting.aside:
            self._say(None)
        await self._note_settled([entry], dead=1)

    # settling

    async def _note_settled(self, entries: Sequence[Entry], *, dead: int) -> None:
        self._window.settled(entries)
        self.settled += len(entries)
        self._advanced.set()
        self._changed.set()
        if self._storm.note(settled=len(entries), dead=dead) and self.going.is_set():
            words = f"{self._storm.words()}; mend the pipeline, then resume it and replay them"
            await self._persist(lambda: self._pause(words))

    async def _commit_on(self) -> None:
        while True:
            await self._advanced.wait()
            settled = self._window.take()
            if settled is not None:
                await self._persist(lambda: self._ends.source.commit(settled))  # noqa: B023 - awaited here
            if self._window.oldest is None or self._window.oldest.outcome is None:
                self._advanced.clear()
            self._changed.set()

    async def _persist(self, attempt: Callable[[], Awaitable[Done]]) -> Done:
        """
        Repeat until it is done: with full jitter, and without limit.

        A fault that is no outage repeats too: to go on would lose events, and to stop would hide
        that they wait.
        """
        tries = 0
        while True:
            try:
                result = await attempt()
            except Ended:
                raise
            except Exception as fault:  # noqa: BLE001 - see above
                self._say(fault)
                tries += 1
                await asyncio.sleep(backoff_s(tries, longest_s=_LONGEST_WAIT_S))
            else:
                if tries:
                    self._say(None)
                return result

    def _say(self, fault: Exception | None) -> None:
        """Log the change and not each try."""
        error = "" if fault is None else _words(fault)
        if bool(error) != bool(self.last_error):
            expected = isinstance(fault, Down | Refused | Disabled | None)
            _log.log(
                logging.WARNING if expected else logging.ERROR,
                "waits" if error else "goes on",
                extra={"fields": {"pipeline": self.name, "error": error}},
                exc_info=None if expected else fault,
            )
        self.last_error = error
        self._answers = isinstance(fault, Refused)


class _Signal:
    """Wakes everyone who waits for anything to change."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        self._event.set()
        self._event = asyncio.Event()

    async def wait(self, at_most_s: float | None = None) -> None:
        if at_most_s is None:
            await self._event.wait()
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(at_most_s):  # wait_for of 3.11 may swallow a cancellation
                await self._event.wait()


def _words(fault: Exception) -> str:
    return str(fault) or type(fault).__name__


async def _first_to_end(tasks: list[asyncio.Task[None]]) -> None:
    """Wait until one ends, and raise what it raised."""
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()


async def _cancelled(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
