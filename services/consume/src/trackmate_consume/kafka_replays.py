"""
Replays on Kafka: a stretch of the log, or dead letters, read again by a consumer group of their own
(`<affiliate>.<pipeline>.replay`), so that the pods of a pipeline share one and a crash goes on
where it was. Which ran is kept in that group's commits.

An event is counted once. Replayed, it changes the books only where it was a dead letter: the
dead-letter topic then says what became of it (`letterbox`).
"""

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple, NoReturn, Protocol

from trackmate_consume.kafka_groups import Groups
from trackmate_consume.kafka_letterbox import KafkaLetterbox
from trackmate_consume.kafka_letters import KafkaLetters
from trackmate_consume.kafka_positions import Position, Stretch
from trackmate_consume.kafka_reading import DEAD, Again, Reading
from trackmate_consume.kafka_source import KafkaSource
from trackmate_consume.ledger import Outcome, Place, Settled, Verdict
from trackmate_consume.letterbox import Answered, Letterbox, Origin
from trackmate_consume.letters import DeadLetter
from trackmate_consume.pipeline import Asked, Replay
from trackmate_consume.source import Fetched, Source
from trackmate_contract.names import group, replay_group
from trackmate_contract.record import Record

_LOOK_AGAIN_S = 0.2
_MOST_IDS = 30  # that are remembered: they share 4,096 bytes with the books


class Asking(Protocol):
    """Who asks for replays."""

    async def next(self) -> Asked:
        """Wait for the next; the same again until it is ended."""

    async def end(self, asked: Asked) -> None:
        """It ran, now or before. Raises Down."""


class Progress(NamedTuple):
    """How far the newest replay is."""

    id: str
    events: int
    ended: bool


@dataclass(frozen=True)
class Ways:
    """What a replay reads with and writes to."""

    reading: Reading
    settings: Callable[[], Any]
    groups: Groups
    letters: KafkaLetters
    box: KafkaLetterbox


class KafkaReplays:
    """The replays of one pipeline. Keeps trackmate_consume.pipeline.Replays."""

    def __init__(self, ways: Ways, asking: Asking) -> None:
        self._ways = ways
        self._asking = asking
        self._running: dict[str, Asked] = {}

    async def next(self) -> Replay:
        while True:
            asked = await self._asking.next()
            found = await asyncio.to_thread(self._positions)
            partitions = await asyncio.to_thread(self._partitions, asked)
            if _ran(asked.id, found.values(), partitions):
                await self._asking.end(asked)
                continue
            self._running[asked.id] = asked
            source = await self._source(asked, list(found.values()))
            return Replay(asked.id, source, _Again(self._ways.letters))

    async def end(self, replay: Replay) -> None:
        await self._asking.end(self._running.pop(replay.id))

    def latest(self) -> Progress | None:
        """The newest that began; None where there was none. Blocks; raises Down."""
        return progress(self._positions().values())

    def _positions(self) -> dict[Place, Position]:
        reading = self._ways.reading
        return self._ways.groups.positions(replay_group(reading.affiliate, reading.pipeline))

    def _partitions(self, asked: Asked) -> int:
        """How many there are to be read."""
        if asked.stream is None:
            return 1
        reading = self._ways.reading
        return len(self._ways.groups.ends([reading.topic(asked.stream)]))

    async def _source(self, asked: Asked, found: Sequence[Position]) -> Source:
        ways, reading = self._ways, self._ways.reading
        streams = [DEAD] if asked.stream is None else [asked.stream]
        stretch = Stretch(asked.id, 0, time.time_ns() // 1_000_000, _ids(found))
        ends = await asyncio.to_thread(self._ends, asked)
        start = datetime.fromtimestamp(asked.since_ms / 1000, UTC) if asked.stream else "earliest"
        inner = KafkaSource(
            Reading(
                reading.affiliate, reading.pipeline, streams, start, again=Again(stretch, ends)
            ),
            ways.settings(),
        )
        if asked.stream is None:
            return _LettersSource(inner, ways, asked)
        return AnsweringSource(inner, ways.letters, ways.box, counted=True)

    def _ends(self, asked: Asked) -> dict[Place, int]:
        """What follows comes anyway."""
        if asked.stream is None:
            return {(DEAD, 0): self._ways.box.end()}
        reading = self._ways.reading
        found = self._ways.groups.positions(group(reading.affiliate, reading.pipeline))
        return {place: position.next for place, position in found.items()}


def progress(found: Iterable[Position]) -> Progress | None:
    """The newest replay, from what its group committed."""
    begun = [(one.stretch, one) for one in found if one.stretch is not None]
    if not begun:
        return None
    newest = max(begun, key=lambda pair: pair[0].begun_ms)[0].replay
    own = [one for stretch, one in begun if stretch.replay == newest]
    events = sum(one.counts.settled for one in own)
    return Progress(newest, events, all(one.ended for one in own))


def _ids(found: Iterable[Position]) -> tuple[str, ...]:
    """Those that ran, the newest last."""
    ids: dict[str, None] = {}
    for one in found:
        if one.stretch is not None:
            ids |= dict.fromkeys((*one.stretch.earlier, one.stretch.replay))
    return tuple(ids)[-_MOST_IDS:]


def _ran(replay: str, found: Collection[Position], partitions: int) -> bool:
    """
    Whether a replay of this id ran to its end in all of so many partitions, or another did after it
    began.
    """
    own = [one for one in found if one.stretch is not None and one.stretch.replay == replay]
    if own:
        return len(own) >= partitions and all(one.ended for one in own)
    return replay in _ids(found)


class _Again:
    """Letters of a replay: their events have an outcome in the books already."""

    def __init__(self, letters: KafkaLetters) -> None:
        self._letters = letters

    async def put(self, letters: Sequence[DeadLetter]) -> None:
        await self._letters.put_again(letters)


class AnsweringSource:
    """
    A source whose commits first say what became of letters that waited.

    `counted`: whether the books have their events as dead. In a replay they do, and the letters
    wait no more. As events come they do not: a crash came between a letter and the commit, and this
    time the sink took the event.
    """

    def __init__(
        self, inner: KafkaSource, letters: KafkaLetters, box: KafkaLetterbox, *, counted: bool
    ) -> None:
        self.inner = inner
        self._letters = letters
        self._box = box
        self._counted = counted
        self._assignments = 0
        self._waiting: frozenset[Origin] = frozenset()

    async def read(self, *, most: int, wait_s: float) -> Fetched | None:
        return await self.inner.read(most=most, wait_s=wait_s)

    async def commit(self, settled: Settled) -> None:
        await self._look()
        if self._waiting:  # else, as mostly, there is nothing to look for
            await self._answer(settled)
        await self.inner.commit(settled)

    async def _answer(self, settled: Settled) -> None:
        answers = [
            (origin, _answered(verdict, counted=self._counted))
            for verdict in settled.verdicts
            if (origin := _origin(verdict)) in self._waiting and verdict.outcome is not Outcome.DEAD
        ]
        if answers:
            await self._letters.answer(answers)

    async def over(self) -> NoReturn:
        await self.inner.over()

    async def close(self) -> None:
        await self.inner.close()

    async def _look(self) -> None:
        """Whoever had a partition before may have put letters of it aside."""
        assignments = self.inner.assignments
        if assignments != self._assignments:
            self._waiting = await _read(self._box, lambda box: frozenset(box.waiting))
            self._assignments = assignments


class _LettersSource:
    """The dead letters that wait, in the order of being put aside."""

    def __init__(self, inner: KafkaSource, ways: Ways, asked: Asked) -> None:
        self._inner = inner
        self._ways = ways
        self._asked = asked
        self._offsets: dict[Origin, int] = {}
        self._seen = 0

    async def read(self, *, most: int, wait_s: float) -> Fetched | None:
        while (fetched := await self._inner.read(most=most, wait_s=wait_s)) is not None:
            if not fetched.records:
                return fetched
            records = await _read(self._ways.box, lambda box: self._wanted(box, fetched.records))
            self._seen = fetched.records[-1].offset + 1
            if records:
                await self._counted(records)
                return Fetched(records)
            if not self._offsets:
                await self._pass()
        return None

    def _wanted(self, box: Letterbox, records: Sequence[Record]) -> list[Record]:
        """The records of the letters; one that was put aside again comes later."""
        by_number = {letter.number: (origin, letter) for origin, letter in box.waiting.items()}
        found = []
        for record in records:
            number = record.offset + 1
            origin, letter = by_number.get(number, (None, None))
            if origin is None or letter is None or letter.received_ms < self._asked.since_ms:
                continue
            if self._asked.chosen is not None and number not in self._asked.chosen:
                continue
            self._offsets[origin] = record.offset
            found.append(Record(*origin, record.id, letter.key, record.value, record.stamp))
        return found

    async def _counted(self, records: Sequence[Record]) -> None:
        """
        Wait until the books have them: an event before one may not be settled yet, and a crash
        would then read it again, and it would count twice.
        """
        reading = self._ways.reading
        name = group(reading.affiliate, reading.pipeline)
        while True:
            found: dict[Place, Position] = await asyncio.to_thread(
                self._ways.groups.positions, name
            )
            at = {place: position.next for place, position in found.items()}
            if all(at.get((one.stream, one.partition), 0) > one.offset for one in records):
                return
            await asyncio.sleep(_LOOK_AGAIN_S)

    async def commit(self, settled: Settled) -> None:
        answers = [
            (_origin(verdict), _answered(verdict, counted=True))
            for verdict in settled.verdicts
            if verdict.outcome is not Outcome.DEAD
        ]
        if answers:
            await self._ways.letters.answer(answers)
        verdicts = [
            _OnLetter(DEAD, 0, self._offsets[_origin(one)], one.outcome) for one in settled.verdicts
        ]
        await self._inner.commit(Settled.of(verdicts, expired=0))
        for one in settled.verdicts:
            del self._offsets[_origin(one)]
        if not self._offsets:
            await self._pass()

    async def _pass(self) -> None:
        """All that was read is done with, what nobody asked for included."""
        await self._inner.commit(Settled.of([_OnLetter(DEAD, 0, self._seen - 1, None)], expired=0))

    async def over(self) -> NoReturn:
        await self._inner.over()

    async def close(self) -> None:
        await self._inner.close()


@dataclass
class _OnLetter:
    """A verdict on a letter, in the dead-letter topic."""

    stream: str
    partition: int
    offset: int
    outcome: Outcome | None
    reason: str = ""
    documents: int = 0
    expired: int = 0


def _origin(verdict: Verdict) -> Origin:
    return Origin(verdict.stream, verdict.partition, verdict.offset)


def _answered(verdict: Verdict, *, counted: bool) -> Answered:
    if not counted:
        return Answered(None, "", 0)
    return Answered(verdict.outcome, verdict.reason, verdict.documents)


async def _read(box: KafkaLetterbox, look: Callable[[Letterbox], Any]) -> Any:
    def on_thread() -> Any:
        with box.read() as state:
            return look(state)

    return await asyncio.to_thread(on_thread)
