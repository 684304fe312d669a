"""
The consume loop, on ends of a few lines: what is settled is committed, what is not comes again, a
refused event never stops its neighbours, and an outage loses nothing.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NoReturn

import pytest

from trackmate_consume import flow as flow_module
from trackmate_consume.flow import Ends, Flow, Pace, _Signal
from trackmate_consume.ledger import Counts, Outcome, Settled
from trackmate_consume.letters import DeadLetter
from trackmate_consume.program import Dead, Filtered, Result
from trackmate_consume.sink import Disabled, Document, Down, Refused, Translated
from trackmate_consume.source import Ended, Fetched
from trackmate_contract.record import Record, Stamp

DEADLINE = 20.0


def record(offset: int, stream: str = "events", *, key: str | None = None) -> Record:
    return Record(stream, 0, offset, f"id-{offset}", key, b"{}", Stamp(0, "web"))


class Listed:
    """A source of given steps, which remembers what was committed, and ends unless it lasts."""

    def __init__(self, *steps: Fetched, down: int = 0, lasts: bool = False) -> None:
        self.lasts = lasts
        self.steps = list(steps)
        self.committed: list[Settled] = []
        self.down = down

    async def read(self, *, most: int, wait_s: float) -> Fetched | None:
        if self.lasts and not self.steps:
            await asyncio.Event().wait()
        return self.steps.pop(0) if self.steps else None

    async def commit(self, settled: Settled) -> None:
        if self.down:
            self.down -= 1
            raise Down("the log does not answer")
        self.committed.append(settled)

    async def over(self) -> NoReturn:
        await asyncio.Event().wait()
        raise AssertionError

    async def close(self) -> None:
        """Nothing is held."""

    @property
    def position(self) -> int:
        return self.committed[-1].positions["events", 0] if self.committed else 0

    @property
    def counts(self) -> Counts:
        return sum((settled.counts for settled in self.committed), Counts())


Answer = Callable[[str], Exception | None]
"""From an event's id to what the sink raises for it, if anything."""


class Kept:
    """A sink that keeps what it takes, and refuses as it is told."""

    def __init__(self, answer: Answer = lambda _: None, *, lanes: int = 1) -> None:
        self.answer = answer
        self.lanes = lanes
        self.taken: list[str] = []
        self.batches: list[list[str]] = []
        self.outcomes: dict[str, Outcome] = {}
        self.busy: set[str] = set()

    async def open(self) -> None:
        """Always ready."""

    async def write(self, batch: Sequence[Translated]) -> Sequence[Outcome]:
        ids = [translated.record.id for translated in batch]
        keys = {key for translated in batch if (key := translated.record.key)}
        assert not keys & self.busy, "one key in two lanes"
        self.busy |= keys
        self.batches.append(ids)
        await asyncio.sleep(0)
        self.busy -= keys
        for event_id in ids:
            if fault := self.answer(event_id):
                raise fault
        self.taken += ids
        return [self.outcomes.get(event_id, Outcome.DELIVERED) for event_id in ids]

    async def close(self) -> None:
        """Nothing is held."""


class Letters:
    def __init__(self) -> None:
        self.put_aside: list[DeadLetter] = []

    async def put(self, letters: Sequence[DeadLetter]) -> None:
        self.put_aside += letters


@dataclass
class Told:
    """A program that says what it is told to, by id; else the event is the document."""

    results: dict[str, Result] = field(default_factory=dict)

    async def translate(self, records: Sequence[Record]) -> Sequence[Result]:
        return [self.results.get(r.id, (Document(r.value),)) for r in records]


@dataclass
class Setup:
    """A flow and its ends."""

    source: Listed
    sink: Kept = field(default_factory=Kept)
    program: Told = field(default_factory=Told)
    letters: Letters = field(default_factory=Letters)
    pace: Pace = field(default_factory=Pace)
    paused: list[str] = field(default_factory=list)

    def flow(self) -> Flow:
        async def pause(reason: str) -> None:
            self.paused.append(reason)
            flow.going.clear()

        ends = Ends(self.source, self.program, self.sink, self.letters)
        flow = Flow("orders", ends, self.pace, pause)
        flow.going.set()
        return flow

    def run(self) -> Flow:
        """Run until everything is settled."""

        async def to_end() -> Flow:
            flow = self.flow()
            await asyncio.wait_for(flow.run(), DEADLINE)
            return flow

        return asyncio.run(to_end())


@asynccontextmanager
async def running(flow: Flow) -> AsyncIterator[None]:
    task = asyncio.create_task(flow.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], bool], what: str) -> None:
    deadline = asyncio.get_running_loop().time() + DEADLINE
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, f"not in time: {what}"
        await asyncio.sleep(0.005)


def test_commits_positions_and_counts_once_the_documents_are_written() -> None:
    it = Setup(Listed(Fetched([record(4), record(5), record(0, "scans")])))

    it.run()

    assert it.sink.taken == ["id-4", "id-5", "id-0"]
    [settled] = it.source.committed
    assert settled.positions == {("events", 0): 6, ("scans", 0): 1}
    assert settled.counts == Counts(delivered=3, documents=3)


def test_every_outcome_is_counted_as_its_term() -> None:
    it = Setup(Listed(Fetched([record(n) for n in range(6)], expired={0: 7})))
    it.sink.outcomes = {
        "id-1": Outcome.DUPLICATE,
        "id-2": Outcome.CONFLICT,
    }
    it.program.results = {
        "id-3": Filtered("false"),
        "id-4": Dead("transform_error", "no"),
        "id-5": (Document(b"1"), Document(b"2")),
    }

    it.run()

    assert it.source.counts == Counts(
        delivered=2, duplicates=1, conflicts=1, filtered=1, dead=1, expired=7, documents=4
    )
    assert it.source.counts.settled == 13
    reasons = it.source.committed[-1].reasons
    assert reasons == {(Outcome.FILTERED, "false"): 1, (Outcome.DEAD, "transform_error"): 1}


def test_a_dead_letter_has_the_record_and_the_reason() -> None:
    it = Setup(Listed(Fetched([record(0)])))
    it.program.results = {"id-0": Dead("filter_error", "text is no number")}

    it.run()

    assert it.letters.put_aside == [DeadLetter(record(0), "filter_error", "text is no number", 1)]


def test_a_position_is_not_committed_before_its_dead_letter_is_safe() -> None:
    order: list[str] = []
    it = Setup(Listed(Fetched([record(0)])))
    it.program.results = {"id-0": Dead("filter_error", "no")}

    class Slow(Letters):
        async def put(self, letters: Sequence[DeadLetter]) -> None:
            await asyncio.sleep(0.02)
            order.append("letter")

    class Noting(Listed):
        async def commit(self, settled: Settled) -> None:
            order.append("commit")

    it.letters, it.source = Slow(), Noting(Fetched([record(0)]))

    it.run()

    assert order == ["letter", "commit"]


def test_while_the_sink_is_down_nothing_is_committed_and_then_everything_is(
    caplog: pytest.LogCaptureFixture,
) -> None:
    left = [6]

    def down(_: str) -> Exception | None:
        left[0] -= 1
        return Down("the disk is full") if left[0] >= 0 else None

    it = Setup(Listed(Fetched([record(n) for n in range(9)])), Kept(down))

    with caplog.at_level(logging.INFO):
        flow = it.run()

    assert sorted(it.sink.taken) == [f"id-{n}" for n in range(9)]
    assert it.source.counts == Counts(delivered=9, documents=9)
    assert flow.last_error == ""
    assert not it.letters.put_aside
    assert [entry.message for entry in caplog.records] == ["waits", "goes on"]


def test_a_source_that_is_over_ends_a_flow_that_is_paused() -> None:
    """What it still has to write may be another member's by now."""

    class Lost(Listed):
        async def over(self) -> NoReturn:
            raise Ended("partitions went to another member of the group")

    async def paused() -> None:
        flow = Setup(Lost(Fetched([record(0)]), lasts=True)).flow()
        flow.going.clear()
        await asyncio.wait_for(flow.run(), DEADLINE)

    with pytest.raises(Ended, match="went to another member"):
        asyncio.run(paused())


def test_a_source_that_is_over_while_the_sink_is_down_is_left_when_it_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else the members of a group would take partitions from each other as long as it lasts."""
    monkeypatch.setattr(flow_module, "backoff_s", lambda *_, **__: 0.001)

    class Lost(Listed):
        lost = asyncio.Event()

        async def over(self) -> NoReturn:
            await self.lost.wait()
            raise Ended("partitions went to another member of the group")

    async def scenario() -> None:
        down: list[Exception] = [Down("503")]
        source = Lost(Fetched([record(0)]), lasts=True)
        it = Setup(source, Kept(lambda _: down[0] if down else None))
        flow = it.flow()
        running = asyncio.create_task(flow.run())
        await until(lambda: flow.outage, "the sink is down")
        source.lost.set()
        tried = len(it.sink.batches)
        await until(lambda: len(it.sink.batches) > tried + 20, "it is tried on")
        assert not running.done()
        down.clear()
        with pytest.raises(Ended, match="went to another member"):
            await asyncio.wait_for(running, DEADLINE)

    asyncio.run(scenario())


def test_an_outage_pauses_without_limit_and_makes_no_dead_letter() -> None:
    async def scenario() -> None:
        out = [True]
        it = Setup(
            Listed(Fetched([record(n, key=str(n)) for n in range(40)])),
            Kept(lambda _: Down("connection refused") if out[0] else None, lanes=4),
            pace=Pace(events=1, retry_s=0.01),
        )
        flow = it.flow()
        async with running(flow):
            await until(lambda: len(it.sink.batches) > 12, "many tries")
            assert flow.outage
            assert flow.aside <= 1
            assert not it.source.committed
            out[0] = False
            await until(lambda: it.source.position == 40, "all committed")
        assert not it.letters.put_aside
        assert sorted(it.sink.taken) == sorted(f"id-{n}" for n in range(40))

    asyncio.run(scenario())


def test_resume_wakes_what_rests_during_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow_module, "backoff_s", lambda tries, *, longest_s: 3600.0)

    async def scenario() -> None:
        out = [True]
        it = Setup(
            Listed(Fetched([record(n, key=str(n)) for n in range(3)])),
            Kept(lambda _: Down("connection refused") if out[0] else None),
            pace=Pace(events=1),
        )
        flow = it.flow()
        async with running(flow):
            await until(lambda: flow.outage and len(it.sink.batches) > 1, "it rests")
            out[0] = False
            flow.resume()
            await until(lambda: it.source.position == 3, "all committed")

    asyncio.run(scenario())


def test_a_refused_batch_is_halved_until_the_refused_event_is_alone() -> None:
    it = Setup(
        Listed(Fetched([record(n) for n in range(64)])),
        Kept(lambda event_id: Refused("422: no") if event_id == "id-37" else None),
        pace=Pace(events=64, retry_s=0.05),
    )

    it.run()

    assert sorted(it.sink.taken) == sorted(f"id-{n}" for n in range(64) if n != 37)
    [letter] = it.letters.put_aside
    assert (letter.record.id, letter.reason) == ("id-37", "sink_refused")
    assert letter.detail.startswith("422: no (tried ")
    assert it.source.counts == Counts(delivered=63, dead=1, documents=63)
    assert ["id-37"] in it.sink.batches
    assert len(it.sink.batches) < 64, "halving costs a few batches, not one an event"


def test_the_lane_of_a_refused_event_moves_on_and_its_key_keeps_its_order() -> None:
    refusing = [True]

    def answer(event_id: str) -> Exception | None:
        return Refused("no") if event_id == "id-0" and refusing[0] else None

    async def scenario() -> None:
        keys = ["a", "b", "a", "c", "a", "b"]
        it = Setup(
            Listed(Fetched([record(n, key=key) for n, key in enumerate(keys)]), lasts=True),
            Kept(answer, lanes=2),
            pace=Pace(events=1, retry_s=3600),
        )
        flow = it.flow()
        async with running(flow):
            await until(lambda: len(it.sink.taken) == 3, "the others")
            assert sorted(it.sink.taken) == ["id-1", "id-3", "id-5"]
            assert flow.aside == 1
            assert "no" in flow.last_error
            assert not it.source.committed
            refusing[0] = False
            await until(lambda: it.source.position == 6, "all committed")
        assert [i for i in it.sink.taken if i in {"id-0", "id-2", "id-4"}] == [
            "id-0",
            "id-2",
            "id-4",
        ]
        assert flow.last_error == ""

    asyncio.run(scenario())


def test_an_event_that_brings_the_sink_down_is_a_dead_letter_while_others_are_taken() -> None:
    sent = iter(range(10_000))

    class Endless(Listed):
        async def read(self, *, most: int, wait_s: float) -> Fetched | None:
            await asyncio.sleep(0.005)
            number = next(sent)
            return None if it.letters.put_aside else Fetched([record(number, key=str(number))])

    it = Setup(
        Endless(),
        Kept(lambda event_id: Down("500") if event_id == "id-3" else None, lanes=2),
        pace=Pace(events=1, wait_s=0, retry_s=0.3),
    )

    it.run()

    assert [letter.record.id for letter in it.letters.put_aside] == ["id-3"]
    assert it.source.counts.settled == it.source.position


def test_a_refused_event_alone_in_the_world_is_never_a_dead_letter() -> None:
    async def scenario() -> None:
        it = Setup(
            Listed(Fetched([record(0)]), lasts=True),
            Kept(lambda _: Refused("401: who are you?")),
            pace=Pace(events=1, retry_s=0.01),
        )
        async with running(it.flow()):
            await until(lambda: len(it.sink.batches) > 5, "several tries")
        assert not it.letters.put_aside
        assert not it.source.committed

    asyncio.run(scenario())


def test_a_replay_of_nothing_but_refused_events_ends() -> None:
    it = Setup(
        Listed(Fetched([record(n, key="a") for n in range(5)])),
        Kept(lambda _: Refused("422: still no"), lanes=2),
        pace=Pace(events=3, retry_s=72 * 3600),
    )

    it.run()

    assert [letter.record.id for letter in it.letters.put_aside] == [f"id-{n}" for n in range(5)]
    assert it.source.counts == Counts(dead=5)


def test_what_asks_to_be_left_alone_is() -> None:
    async def scenario() -> None:
        asked = [True]

        def answer(_: str) -> Exception | None:
            return Down("429", after_s=0.5) if asked and asked.pop() else None

        it = Setup(
            Listed(Fetched([record(n, key=str(n)) for n in range(8)])),
            Kept(answer, lanes=4),
            pace=Pace(events=1),
        )
        flow = it.flow()
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with running(flow):
            await until(lambda: it.source.position == 8, "all committed")
        assert loop.time() - began >= 0.5
        assert len(it.sink.batches) <= 8 + 4

    asyncio.run(scenario())


def test_a_sink_that_wants_no_more_pauses_the_pipeline() -> None:
    async def scenario() -> None:
        gone = [True]
        it = Setup(
            Listed(Fetched([record(n) for n in range(5)])),
            Kept(lambda _: Disabled("answered 410") if gone[0] else None),
        )
        flow = it.flow()
        async with running(flow):
            await until(lambda: bool(it.paused), "paused")
            assert it.paused == ["answered 410"]
            tried = len(it.sink.batches)
            assert not it.source.committed
            gone[0] = False
            assert len(it.sink.batches) == tried
            flow.resume()
            await until(lambda: it.source.position == 5, "all committed")
        assert it.sink.taken == [f"id-{n}" for n in range(5)]

    asyncio.run(scenario())


def test_a_storm_of_dead_letters_pauses_the_pipeline_and_says_so() -> None:
    async def scenario() -> None:
        steps = [
            Fetched([record(n) for n in range(first, first + 100)]) for first in range(0, 2000, 100)
        ]
        it = Setup(Listed(*steps))
        it.program.results = {f"id-{n}": Dead("transform_error", "no") for n in range(2000)}
        flow = it.flow()
        async with running(flow):
            await until(lambda: bool(it.paused), "paused")
        assert "dead letters" in it.paused[0]
        assert len(it.letters.put_aside) < 500

    asyncio.run(scenario())


def test_a_full_window_turns_the_refused_event_into_a_dead_letter_and_goes_on() -> None:
    poison = record(0, key="p")._replace(value=b"x" * 1000)
    behind = [
        Fetched([record(n, key="p")._replace(value=b"y" * (1 << 20)) for n in range(f, f + 20)])
        for f in range(1, 101, 20)
    ]
    others = Fetched([record(n, key=str(n)) for n in range(101, 110)])
    it = Setup(
        Listed(Fetched([poison, record(1000, "scans", key="ok")]), *behind, others),
        Kept(lambda event_id: Refused("no") if event_id == "id-0" else None, lanes=2),
        pace=Pace(events=1, retry_s=3600),
    )

    it.run()

    assert [letter.record.id for letter in it.letters.put_aside] == ["id-0"]
    assert it.source.position == 110


def test_a_commit_that_fails_is_repeated_as_it_was() -> None:
    it = Setup(Listed(Fetched([record(0)]), down=2))

    it.run()

    assert len(it.source.committed) == 1
    assert it.sink.batches == [["id-0"]], "what was written is not written again"


def test_a_fault_that_is_no_outage_is_repeated_and_logged_with_its_trace(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken = [True]

    def answer(_: str) -> Exception | None:
        return KeyError("a bug") if broken and broken.pop() else None

    it = Setup(Listed(Fetched([record(0)])), Kept(answer))

    it.run()

    assert it.source.position == 1
    assert caplog.records[0].levelname == "ERROR"
    assert caplog.records[0].exc_info is not None


def test_what_is_paused_reads_and_writes_nothing() -> None:
    async def scenario() -> None:
        it = Setup(Listed(Fetched([record(0)])))
        flow = it.flow()
        flow.going.clear()
        async with running(flow):
            await asyncio.sleep(0.05)
            assert it.source.steps
            assert not it.sink.batches
            flow.resume()
            await until(lambda: it.source.position == 1, "committed")

    asyncio.run(scenario())


def test_a_drain_lets_what_is_being_written_end_and_commits_it() -> None:
    async def scenario() -> None:
        entered, go = asyncio.Event(), asyncio.Event()

        class Slow(Kept):
            async def write(self, batch: Sequence[Translated]) -> Sequence[Outcome]:
                entered.set()
                await go.wait()
                return await super().write(batch)

        it = Setup(Listed(Fetched([record(n) for n in range(3)])), Slow(), pace=Pace(events=1))
        flow = it.flow()
        async with running(flow):
            await entered.wait()
            draining = asyncio.create_task(flow.drain(at_most_s=DEADLINE))
            await asyncio.sleep(0)
            assert not draining.done()
            go.set()
            await draining
        assert it.source.position == 1, "what was written is committed, and no more was taken"

    asyncio.run(scenario())


def test_who_is_cancelled_as_it_is_woken_is_cancelled() -> None:
    """Else a lane would wait on, and a replay that has come to its end never end."""

    async def both() -> bool:
        changed = _Signal()
        waiting = asyncio.create_task(changed.wait(10))
        await asyncio.sleep(0)
        changed.set()
        waiting.cancel()
        await asyncio.wait([waiting])
        return waiting.cancelled()

    assert asyncio.run(both())
