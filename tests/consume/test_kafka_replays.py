"""
Dead letters on Kafka, sent again: each event is counted once whatever becomes of it, a replay runs
once per id and goes on where a crash left it, and a letter of an event that was delivered after all
is withdrawn.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import pytest
import uvloop
from confluent_kafka import Consumer, Producer, TopicPartition

from kafka_broker import Cluster, kafka_brokers
from trackmate_consume.flow import Pace
from trackmate_consume.kafka_groups import Groups
from trackmate_consume.kafka_ledger import Edges
from trackmate_consume.kafka_letters import KafkaLetters
from trackmate_consume.kafka_positions import Position, Stretch, to_metadata
from trackmate_consume.kafka_reading import Reading
from trackmate_consume.kafka_standing import Books, KafkaStanding
from trackmate_consume.ledger import Counts, Outcome
from trackmate_consume.letters import DeadLetter
from trackmate_consume.pipeline import Asked, Parts, Pipeline
from trackmate_consume.program import Dead, Filtered, Result
from trackmate_consume.sink import Document, Translated
from trackmate_contract.record import Record, Stamp, to_headers

pytestmark = pytest.mark.needs("kafka")

PARTITIONS = 2
AT_MS = 1_795_000_000_000  # within retention
numbers = count()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with kafka_brokers() as cluster:
        yield cluster


@pytest.fixture
def affiliate(cluster: Cluster) -> str:
    name = f"acme-{next(numbers)}"
    cluster.create(f"{name}.events", partitions=PARTITIONS)
    cluster.create(f"{name}.crm.dead", partitions=1)
    return name


class Judge:
    """What becomes of an event: told by its bytes, where nothing else is said."""

    def __init__(self) -> None:
        self.of: dict[bytes, Result] = {}

    async def translate(self, records: Sequence[Record]) -> list[Result]:
        return [self.of.get(one.value, (Document(one.value),)) for one in records]

    async def close(self) -> None:
        """Nothing is held."""


DEAD = Dead("transform_error", "told so")


class Taking:
    """A sink that remembers the ids that it took."""

    lanes = 1

    def __init__(self) -> None:
        self.ids: list[str] = []

    async def open(self) -> None:
        """Nothing is needed."""

    async def write(self, batch: Sequence[Translated]) -> list[Outcome]:
        self.ids += [one.record.id for one in batch]
        return [Outcome.DELIVERED] * len(batch)

    async def close(self) -> None:
        """Nothing is held."""


class Orders:
    """Replays that the test asks for; each is asked for until it ended."""

    def __init__(self) -> None:
        self.open: list[Asked] = []
        self.changed = asyncio.Event()
        self.ended: list[str] = []
        self.ending = asyncio.Event()

    def ask(self, asked: Asked) -> None:
        self.open.append(asked)
        self.changed.set()

    async def next(self) -> Asked:
        while not self.open:
            self.changed.clear()
            await self.changed.wait()
        return self.open[0]

    async def end(self, asked: Asked) -> None:
        self.open.remove(asked)
        self.ended.append(asked.id)
        self.ending.set()


class Switch:
    paused = ""

    async def pause(self, reason: str) -> None:
        raise AssertionError(reason)


class Desk:
    """A pipeline `crm` of an affiliate at work, and its books."""

    def __init__(self, cluster: Cluster, affiliate: str) -> None:
        self.judge, self.sink, self.orders = Judge(), Taking(), Orders()
        settings = {**cluster.settings(), "session.timeout.ms": 6000}
        self.groups = Groups(affiliate, lambda: settings)
        reading = Reading(affiliate, "crm", ["events"])
        self.standing = KafkaStanding(reading, lambda: settings, self.groups, self.orders)
        self._topic = f"{affiliate}.events"
        self._dead = f"{affiliate}.crm.dead"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        parts = Parts(
            source=self.standing.source,
            program=self.judge,
            sink=lambda _: self.sink,
            letters=self.standing.letters,
            replays=self.standing.replays,
            control=Switch(),
        )
        task = asyncio.create_task(Pipeline("crm", parts, Pace(wait_s=0)).run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            self.standing.close()
            await asyncio.to_thread(self.groups.close)

    def books(self) -> Books:
        positions = self.groups.positions(self.standing.reading.group)
        ends = self.groups.ends([self._topic, self._dead])
        edges = Edges({}, {("events", n): ends[self._topic, n] for n in range(PARTITIONS)})
        return self.standing.books(positions, edges, ends[self._dead, 0])

    async def settled(self, events: int) -> Counts:
        """The books once so many events are settled and none is in flight; they must be true."""
        async with asyncio.timeout(60):
            while True:
                books = await asyncio.to_thread(self.books)
                if books.line.counts.settled == events and not books.line.in_flight:
                    assert (books.line.accepted, books.faults) == (events, ())
                    return books.line.counts
                await asyncio.sleep(0.05)

    async def ended(self, *ids: str) -> None:
        async with asyncio.timeout(60):
            while self.orders.ended != list(ids):
                self.orders.ending.clear()
                await self.orders.ending.wait()


def produce(cluster: Cluster, affiliate: str, *values: bytes) -> None:
    producer = Producer(cluster.settings())
    for number, value in enumerate(values):
        headers: list[Any] = [*to_headers(value.decode(), Stamp(AT_MS + number, "web"))]
        producer.produce(
            f"{affiliate}.events",
            value,
            None,
            number % PARTITIONS,
            headers=headers,
            timestamp=AT_MS + number,
        )
    assert producer.flush(20) == 0
    producer.close()


def test_a_letter_that_is_sent_again_is_counted_as_what_it_then_became(
    cluster: Cluster, affiliate: str, caplog: pytest.LogCaptureFixture
) -> None:
    produce(cluster, affiliate, b"a", b"b", b"c", b"d", b"e")

    async def scenario() -> None:
        desk = Desk(cluster, affiliate)
        desk.judge.of = {b"a": DEAD, b"b": DEAD, b"c": DEAD}
        async with desk.running():
            assert await desk.settled(5) == Counts(delivered=2, dead=3, documents=2)
            desk.judge.of = {b"a": Filtered("false"), b"b": DEAD}
            desk.orders.ask(Asked("again", None))
            await desk.ended("again")
            assert await desk.settled(5) == Counts(delivered=3, dead=1, filtered=1, documents=3)
            [left] = await asyncio.to_thread(desk.standing.box.letters)
            assert (left.letter.record.id, left.letter.attempts) == ("b", 2)
            assert sorted(desk.sink.ids) == ["c", "d", "e"]
            line = (await asyncio.to_thread(desk.books)).line
            assert line.reasons == {("dead", "transform_error"): 1, ("filtered", "false"): 1}

    uvloop.run(scenario())
    assert [one.message for one in caplog.records if one.levelno >= logging.ERROR] == []


def test_only_chosen_letters_are_sent_again(cluster: Cluster, affiliate: str) -> None:
    produce(cluster, affiliate, b"a", b"b", b"c")

    async def scenario() -> None:
        desk = Desk(cluster, affiliate)
        desk.judge.of = dict.fromkeys((b"a", b"b", b"c"), DEAD)
        async with desk.running():
            await desk.settled(3)
            kept = await asyncio.to_thread(desk.standing.box.letters)
            chosen = kept[1]
            desk.judge.of = {}
            desk.orders.ask(Asked("one", None, 0, [chosen.number]))
            await desk.ended("one")
            assert desk.sink.ids == [chosen.letter.record.id]
            assert (await desk.settled(3)).dead == 2

    uvloop.run(scenario())


def test_a_replay_runs_once_per_id(cluster: Cluster, affiliate: str) -> None:
    produce(cluster, affiliate, b"a", b"b", b"c")

    async def scenario() -> None:
        desk = Desk(cluster, affiliate)
        async with desk.running():
            await desk.settled(3)
            desk.orders.ask(Asked("fix-1", "events"))
            desk.orders.ask(Asked("fix-2", "events"))
            desk.orders.ask(Asked("fix-1", "events"))
            await desk.ended("fix-1", "fix-2", "fix-1")
            assert Counter(desk.sink.ids) == {"a": 3, "b": 3, "c": 3}
            assert await desk.settled(3) == Counts(delivered=3, documents=3)
            latest = await asyncio.to_thread(desk.standing.replays.latest)
            assert latest
            assert (latest.id, latest.events, latest.ended) == ("fix-2", 3, True)

    uvloop.run(scenario())


def test_a_replay_begins_at_its_time_and_revives_the_dead_of_its_stretch(
    cluster: Cluster, affiliate: str
) -> None:
    produce(cluster, affiliate, *[b"%d" % number for number in range(10)])

    async def scenario() -> None:
        desk = Desk(cluster, affiliate)
        desk.judge.of = {b"0": DEAD, b"9": DEAD}
        async with desk.running():
            assert (await desk.settled(10)).dead == 2
            desk.judge.of = {b"8": DEAD}
            desk.sink.ids.clear()
            desk.orders.ask(Asked("fix-1", "events", AT_MS + 5))
            await desk.ended("fix-1")
            assert sorted(desk.sink.ids) == ["5", "6", "7", "9"]
            assert await desk.settled(10) == Counts(delivered=9, dead=1, documents=9)
            kept = await asyncio.to_thread(desk.standing.box.letters)
            assert [one.letter.record.id for one in kept] == ["0", "8"]

    uvloop.run(scenario())


def test_a_replay_that_was_cut_short_goes_on_and_counts_nothing_twice(
    cluster: Cluster, affiliate: str
) -> None:
    values = [b"%d" % number for number in range(40)]
    produce(cluster, affiliate, *values)

    class Cut(Exception):  # noqa: N818 - what happened
        pass

    async def scenario() -> None:
        first = Desk(cluster, affiliate)
        first.judge.of = dict.fromkeys(values, DEAD)
        async with first.running():
            await first.settled(40)
        second = Desk(cluster, affiliate)
        answer = KafkaLetters.answer
        answered = asyncio.Event()

        async def dies_after(letters: KafkaLetters, answers: Sequence[object]) -> None:
            await answer(letters, answers)  # type: ignore[arg-type]
            answered.set()
            raise Cut

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(KafkaLetters, "answer", dies_after)
            async with second.running():
                second.orders.ask(Asked("again", None))
                await asyncio.wait_for(answered.wait(), 60)
        assert second.orders.ended == []
        third = Desk(cluster, affiliate)
        async with third.running():
            third.orders.ask(Asked("again", None))
            await third.ended("again")
            assert await third.settled(40) == Counts(delivered=40, documents=40)
        assert set(second.sink.ids) | set(third.sink.ids) == {value.decode() for value in values}

    uvloop.run(scenario())


def test_a_replay_that_began_in_some_partitions_begins_in_the_others_too(
    cluster: Cluster, affiliate: str
) -> None:
    """As where a member that had the others died before it began."""
    produce(cluster, affiliate, b"a", b"b", b"c", b"d")

    async def scenario() -> None:
        desk = Desk(cluster, affiliate)
        async with desk.running():
            await desk.settled(4)
            desk.sink.ids.clear()
            await asyncio.to_thread(end_in_the_first, cluster, affiliate, "again")
            desk.orders.ask(Asked("again", "events"))
            await desk.ended("again")
            assert sorted(desk.sink.ids) == ["b", "d"]
            desk.orders.ask(Asked("again", "events"))
            await desk.ended("again", "again")
            assert sorted(desk.sink.ids) == ["b", "d"], "it ran"

    uvloop.run(scenario())


def end_in_the_first(cluster: Cluster, affiliate: str, replay: str) -> None:
    """Commit a replay that was read to its end in partition 0."""
    position = Position(2, 2, stretch=Stretch(replay, 2, AT_MS))
    there = TopicPartition(f"{affiliate}.events", 0, 2, to_metadata(position))
    consumer = Consumer({**cluster.settings(), "group.id": f"{affiliate}.crm.replay"})
    consumer.commit(offsets=[there], asynchronous=False)
    consumer.close()


def test_a_letter_is_withdrawn_whose_event_was_delivered_after_a_crash(
    cluster: Cluster, affiliate: str
) -> None:
    """Put aside, killed before the commit; and when it is read again, the sink takes it."""
    produce(cluster, affiliate, b"a", b"b")
    record = Record("events", 0, 0, "a", None, b"a", Stamp(AT_MS, "web"))

    async def scenario() -> None:
        left = KafkaLetters(affiliate, "crm", cluster.settings)
        await left.put([DeadLetter(record, "sink_refused", "no", 3)])
        left.close()
        desk = Desk(cluster, affiliate)
        async with desk.running():
            assert await desk.settled(2) == Counts(delivered=2, documents=2)
            assert await asyncio.to_thread(desk.standing.box.letters) == []

    uvloop.run(scenario())
