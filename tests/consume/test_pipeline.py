"""
A pipeline around its flow: how it says that it is, what a sink that cannot be opened does to it,
and its replays beside what comes.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import NoReturn

from trackmate_consume.flow import Pace
from trackmate_consume.ledger import Outcome, Settled
from trackmate_consume.letters import DeadLetter
from trackmate_consume.pipeline import Condition, Parts, Pipeline, Replay
from trackmate_consume.sink import Disabled, Document, Down, Refused, Translated, Unfit
from trackmate_consume.source import Ended, Fetched
from trackmate_contract.record import Record, Stamp

DEADLINE = 20.0


def record(offset: int) -> Record:
    return Record("events", 0, offset, f"id-{offset}", str(offset), b"{}", Stamp(0, "web"))


class Fed:
    """A source that is fed by the test; it ends only where it is told to."""

    def __init__(self, *records: Record, ends: bool = False) -> None:
        self.records = list(records)
        self.ends = ends
        self.position = 0
        self.closed = False

    async def read(self, *, most: int, wait_s: float) -> Fetched | None:
        while not self.records:
            if self.ends:
                return None
            await asyncio.sleep(0.005)
        taken, self.records = self.records, []
        return Fetched(taken)

    async def commit(self, settled: Settled) -> None:
        self.position = settled.positions["events", 0]

    async def over(self) -> NoReturn:
        await asyncio.Event().wait()
        raise AssertionError

    async def close(self) -> None:
        self.closed = True


class Plain:
    """Each event is its document."""

    async def translate(self, records: Sequence[Record]) -> list[tuple[Document]]:
        return [(Document(record.value),) for record in records]

    async def close(self) -> None:
        """Nothing is held."""


class Moody:
    """A sink that raises what the test has put there."""

    lanes = 2

    def __init__(self) -> None:
        self.at_open: Exception | None = None
        self.at_write: dict[str, Exception] = {}
        self.taken: list[str] = []
        self.tries = 0
        self.closed = 0

    async def open(self) -> None:
        if self.at_open:
            raise self.at_open

    async def write(self, batch: Sequence[Translated]) -> list[Outcome]:
        self.tries += 1
        for translated in batch:
            fault = self.at_write.get(translated.record.id) or self.at_write.get("*")
            if fault:
                raise fault
        self.taken += [translated.record.id for translated in batch]
        return [Outcome.DELIVERED] * len(batch)

    async def close(self) -> None:
        self.closed += 1


class Letters:
    async def put(self, letters: Sequence[DeadLetter]) -> None:
        """Safe at once."""


class Asked:
    """Replays that the test asks for."""

    def __init__(self) -> None:
        self.waiting: asyncio.Queue[Replay] = asyncio.Queue()
        self.ended: list[str] = []

    async def next(self) -> Replay:
        return await self.waiting.get()

    async def end(self, replay: Replay) -> None:
        self.ended.append(replay.id)


class Switch:
    def __init__(self) -> None:
        self.paused = ""

    async def pause(self, reason: str) -> None:
        self.paused = reason


class Setup:
    def __init__(self, *records: Record) -> None:
        self.source: Fed = Fed(*records)
        self.sources: list[Fed] = []  # opened before `source`
        self.sink, self.replays, self.switch = Moody(), Asked(), Switch()
        self.opened: list[str | None] = []
        self.pipeline = self.made()

    def made(self) -> Pipeline:
        return Pipeline(
            "crm",
            Parts(
                source=lambda: self.sources.pop(0) if self.sources else self.source,
                program=Plain(),
                sink=self._sink,
                letters=Letters(),
                replays=self.replays,
                control=self.switch,
            ),
            Pace(events=1, wait_s=0, retry_s=3600),
        )

    def _sink(self, replay: str | None) -> Moody:
        self.opened.append(replay)
        return self.sink

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Pipeline]:
        task = asyncio.create_task(self.pipeline.run())
        try:
            yield self.pipeline
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], object], what: str) -> None:
    deadline = asyncio.get_running_loop().time() + DEADLINE
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, f"not in time: {what}"
        await asyncio.sleep(0.005)


def test_all_is_well_once_the_sink_is_open() -> None:
    async def scenario() -> None:
        it = Setup(record(0))
        assert it.pipeline.condition.reason == "Starting"
        async with it.running() as pipeline:
            await until(lambda: it.source.position == 1, "settled")
            assert pipeline.condition == Condition(ready=True, reason="Running", message="")
            assert pipeline.settled == 1
        assert it.source.closed
        assert it.sink.closed == 1

    asyncio.run(scenario())


def test_a_sink_that_does_not_fit_is_said_with_its_field_and_tried_again() -> None:
    async def scenario() -> None:
        it = Setup(record(0))
        it.sink.at_open = Unfit("spec.sink.files.path", "'/root' may not be written to")
        async with it.running() as pipeline:
            await until(lambda: pipeline.condition.reason == "SinkUnfit", "said")
            assert pipeline.condition.message == (
                "spec.sink.files.path: '/root' may not be written to"
            )
            it.sink.at_open = None
            await until(lambda: it.source.position == 1, "settled once it fits")
            assert pipeline.condition.ready

    asyncio.run(scenario())


def test_a_sink_that_is_down_and_one_that_refuses_are_told_apart() -> None:
    async def scenario() -> None:
        it = Setup(record(0), record(1), record(2))
        it.sink.at_write["*"] = Down("connection refused")
        async with it.running() as pipeline:
            await until(lambda: pipeline.condition.reason == "SinkDown", "down")
            assert pipeline.condition.message == "connection refused"
            it.sink.at_write = {"id-0": Refused("answered 422")}
            await until(lambda: pipeline.condition.reason == "EventsRefused", "refused")
            it.sink.at_write = {}
            await until(lambda: pipeline.condition.ready, "well again")

    asyncio.run(scenario())


def test_a_sink_that_is_down_for_the_only_event_there_is_down() -> None:
    """Nothing shows that it takes others, so nothing is said of the event."""

    async def scenario() -> None:
        it = Setup(record(0))
        it.sink.at_write["*"] = Down("connection refused")
        async with it.running() as pipeline:
            await until(lambda: it.sink.tries > 3, "set aside and tried again")
            assert pipeline.condition.reason == "SinkDown"

    asyncio.run(scenario())


def test_a_sink_that_wants_no_more_leaves_the_pipeline_paused() -> None:
    async def scenario() -> None:
        it = Setup(record(0))
        it.sink.at_write["*"] = Disabled("answered 410")
        async with it.running() as pipeline:
            await until(lambda: pipeline.condition.reason == "Paused", "paused")
            assert it.switch.paused == "answered 410"
            it.sink.at_write = {}
            it.switch.paused = ""
            pipeline.resume()
            await until(lambda: it.source.position == 1, "settled after resume")

    asyncio.run(scenario())


def test_what_starts_paused_stays_paused() -> None:
    async def scenario() -> None:
        it = Setup(record(0))
        it.switch.paused = "by hand"
        async with it.running() as pipeline:
            await until(lambda: it.opened, "opened")
            await asyncio.sleep(0.05)
            assert it.sink.taken == []
            assert pipeline.condition == Condition(ready=False, reason="Paused", message="by hand")

    asyncio.run(scenario())


def test_a_source_that_ended_is_said_and_another_goes_on_where_it_was() -> None:
    class Lost(Fed):
        """Its partitions went to another member."""

        async def read(self, *, most: int, wait_s: float) -> Fetched | None:
            raise Ended("Kafka has no topic acme.events; make it")

    async def scenario() -> None:
        it = Setup(record(0))
        lost = [Lost(), Lost()]
        it.sources = [*lost]
        async with it.running() as pipeline:
            await until(lambda: pipeline.condition.reason == "SourceDown", "said")
            assert pipeline.condition.message == "Kafka has no topic acme.events; make it"
            await until(lambda: it.source.position == 1, "another source reads")
            assert pipeline.condition.ready
        assert [one.closed for one in lost] == [True, True]

    asyncio.run(scenario())


def test_a_replay_runs_beside_what_comes_with_a_sink_of_its_own_and_ends() -> None:
    async def scenario() -> None:
        it = Setup(record(5))
        again = Fed(record(0), record(1), ends=True)
        await it.replays.waiting.put(Replay("fix-1", again, Letters()))
        async with it.running():
            await until(lambda: it.replays.ended == ["fix-1"], "the replay ends")
            await until(lambda: it.source.position == 6, "what comes is settled")
        assert sorted(it.sink.taken) == ["id-0", "id-1", "id-5"]
        assert it.opened == [None, "fix-1"]
        assert again.closed
        assert again.position == 2

    asyncio.run(scenario())


def test_a_fault_of_asking_for_replays_does_not_end_the_pipeline() -> None:
    class Faulty(Asked):
        asked = 0

        async def next(self) -> Replay:
            self.asked += 1
            raise OSError("the disk does not answer")

    async def scenario() -> None:
        it = Setup(record(0))
        it.replays = faulty = Faulty()
        it.pipeline = it.made()
        async with it.running():
            await until(lambda: faulty.asked > 0, "it asked")
            await until(lambda: it.source.position == 1, "what comes is settled")
            assert it.pipeline.condition.ready

    asyncio.run(scenario())


def test_a_stop_waits_for_what_is_being_written_and_commits_it() -> None:
    async def scenario() -> None:
        entered, go = asyncio.Event(), asyncio.Event()

        class Slow(Moody):
            async def write(self, batch: Sequence[Translated]) -> list[Outcome]:
                entered.set()
                await go.wait()
                return await super().write(batch)

        it = Setup(record(0), record(1), record(2))
        it.sink = Slow()
        async with it.running():
            await entered.wait()
            asyncio.get_running_loop().call_later(0.05, go.set)
        assert it.source.position == len(it.sink.taken) == 2, "both lanes, and no more"
        assert it.source.closed

    asyncio.run(scenario())


def test_a_fault_of_ours_begins_the_flow_again() -> None:
    async def scenario() -> None:
        it = Setup()

        class Broken(Fed):
            async def read(self, *, most: int, wait_s: float) -> Fetched | None:
                return Fetched([record(0)], {7: 1})  # no such index: a bug of the source

        broken = Broken()
        it.sources.append(broken)
        it.source.records.append(record(0))
        async with it.running():
            await until(lambda: it.source.position == 1, "it began again")
        assert broken.closed

    asyncio.run(scenario())
