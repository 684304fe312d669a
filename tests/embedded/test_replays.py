"""
Starts, dead letters, replays and pauses in the affiliate's file, and what they do to the books.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from trackmate.backbone import Reads
from trackmate.embedded import books, control, letters, log, replays, store
from trackmate.embedded.books import Begin, begin
from trackmate.embedded.control import EmbeddedControl
from trackmate.embedded.database import Database
from trackmate.embedded.letters import EmbeddedLetters
from trackmate.embedded.log import EmbeddedLog
from trackmate.embedded.replays import EmbeddedReplays
from trackmate.embedded.source import EmbeddedSource
from trackmate_consume.ledger import Ledger, Outcome, Settled
from trackmate_consume.letters import DeadLetter
from trackmate_consume.pipeline import Asked, Replay
from trackmate_consume.waiting import Entry
from trackmate_contract.record import Event, Record, Stamp

SCHEMA = "".join(m.SCHEMA for m in (log, store, books, letters, replays, control))
CRM = Reads("crm", "events")

Act = Callable[[Database], Awaitable[None]]


@pytest.fixture
def with_file(tmp_path: Path) -> Callable[[Act], None]:
    """Act as one process does: open the file, act, close."""

    async def main(act: Act) -> None:
        database = Database(tmp_path / "acme.db", SCHEMA)
        try:
            await act(database)
        finally:
            await database.close()

    return lambda act: asyncio.run(main(act))


async def append(database: Database, *ids: str, at: int = 1000, stream: str = "events") -> None:
    events = [Event(event_id, None, b'{"id":"%b"}' % event_id.encode()) for event_id in ids]
    await EmbeddedLog(database).append(stream, Stamp(at, "web"), events)


async def begun(database: Database, start: str | datetime = "earliest") -> None:
    await database.submit(begin, Begin(CRM, start))


def verdict(record: Record, outcome: Outcome, reason: str = "") -> Entry:
    entry = Entry(record, None)
    entry.settle(outcome, documents=int(outcome is Outcome.DELIVERED), reason=reason)
    return entry


@asynccontextmanager
async def opened(database: Database) -> AsyncIterator[EmbeddedSource]:
    reading = EmbeddedSource(database, CRM)
    try:
        yield reading
    finally:
        await reading.close()


async def settle(database: Database, *outcomes: Outcome) -> list[Record]:
    """Settle the next events of the pipeline, with a dead letter where one belongs."""
    async with opened(database) as reading:
        records = list((await reading.read(most=len(outcomes), wait_s=0)).records)
        put_aside = [
            DeadLetter(record, "transform_error", "no", 1)
            for record, outcome in zip(records, outcomes, strict=True)
            if outcome is Outcome.DEAD
        ]
        await EmbeddedLetters(database, "crm").put(put_aside)
        verdicts = [
            verdict(record, outcome, "transform_error" if outcome is Outcome.DEAD else "")
            for record, outcome in zip(records, outcomes, strict=True)
        ]
        await reading.commit(Settled.of(verdicts, expired=0))
    return records


def ledger(database: Database) -> Ledger:
    with closing(database.reader()) as reader:
        return books.ledger(reader, [CRM])


def kept(database: Database) -> list[DeadLetter]:
    with closing(database.reader()) as reader:
        return [found.letter for found in letters.kept(reader, "crm")]


async def replay_all(
    database: Database, replay: Replay, outcome: Outcome = Outcome.DELIVERED
) -> list[str]:
    """Settle every event of a replay alike."""
    seen: list[str] = []
    while fetched := await replay.source.read(most=2, wait_s=0):
        seen += [record.id for record in fetched.records]
        if outcome is Outcome.DEAD:
            await replay.letters.put(
                [DeadLetter(record, "sink_refused", "again", 3) for record in fetched.records]
            )
        verdicts = [verdict(record, outcome) for record in fetched.records]
        await replay.source.commit(Settled.of(verdicts, expired=0))
    await replay.source.close()
    return seen


@pytest.mark.parametrize(
    ("start", "first"),
    [
        ("earliest", 0),
        ("latest", 6),
        (datetime.fromtimestamp(0, UTC), 0),
        (datetime.fromtimestamp(2.0, UTC), 2),
        (datetime.fromtimestamp(2.5, UTC), 4),
        (datetime.fromtimestamp(9, UTC), 6),
    ],
)
def test_a_start_is_resolved_to_an_offset(
    with_file: Callable[[Act], None], start: str | datetime, first: int
) -> None:
    async def act(database: Database) -> None:
        for at in (1000, 2000, 3000):
            await append(database, f"{at}a", f"{at}b", at=at)

        await begun(database, start)

        with closing(database.reader()) as reader:
            assert books.positions(reader, "crm") == {("events", 0): first}
        [line] = ledger(database).lines
        assert (line.accepted, line.in_flight) == (6 - first, 6 - first)

    with_file(act)


def test_a_start_is_resolved_once(with_file: Callable[[Act], None]) -> None:
    async def act(database: Database) -> None:
        await append(database, "a", "b")
        await begun(database, "latest")
        await append(database, "c")

        await begun(database, "earliest")
        await begun(database, "latest")

        assert [r.id for r in await settle(database, Outcome.DELIVERED)] == ["c"]

    with_file(act)


def test_requests_of_one_batch_are_told_apart_by_a_start(with_file: Callable[[Act], None]) -> None:
    async def act(database: Database) -> None:
        await asyncio.gather(append(database, "a", at=1000), append(database, "b", at=1001))
        with closing(database.reader()) as reader:
            assert reader.execute("SELECT count(*) FROM batches").fetchone() == (1,)

        await begun(database, datetime.fromtimestamp(1.001, UTC))

        assert [r.id for r in await settle(database, Outcome.DELIVERED)] == ["b"]

    with_file(act)


def test_a_dead_letter_has_the_original_bytes_and_is_one_however_often_it_is_put(
    with_file: Callable[[Act], None],
) -> None:
    async def act(database: Database) -> None:
        await append(database, "a")
        await begun(database)
        [record] = await settle(database, Outcome.DEAD)

        await EmbeddedLetters(database, "crm").put([DeadLetter(record, "sink_refused", "422", 4)])

        assert kept(database) == [DeadLetter(record, "sink_refused", "422", 5)]

    with_file(act)


def test_a_replayed_dead_letter_is_delivered_in_the_books_and_no_longer_dead(
    with_file: Callable[[Act], None],
) -> None:
    async def act(database: Database) -> None:
        await append(database, "a", "b", "c", "d")
        await begun(database)
        await settle(database, Outcome.DEAD, Outcome.DELIVERED, Outcome.DEAD, Outcome.DEAD)
        orders = EmbeddedReplays(database, "crm")
        assert await orders.ask(Asked("fix-1", None))

        replay = await orders.next()
        assert await replay_all(database, replay) == ["a", "c", "d"]
        await orders.end(replay)

        assert kept(database) == []
        books_now = ledger(database)
        assert books_now.balanced
        [line] = books_now.lines
        assert (line.counts.delivered, line.counts.dead, line.counts.documents) == (4, 0, 4)
        assert line.reasons == {}
        assert not await orders.ask(Asked("fix-1", None)), "an id runs once"

    with_file(act)


def test_a_dead_letter_that_is_refused_again_stays_and_counts_once(
    with_file: Callable[[Act], None],
) -> None:
    async def act(database: Database) -> None:
        await append(database, "a", "b")
        await begun(database)
        await settle(database, Outcome.DEAD, Outcome.DEAD)
        orders = EmbeddedReplays(database, "crm")
        await orders.ask(Asked("fix-1", None))

        replay = await orders.next()
        assert await replay_all(database, replay, Outcome.DEAD) == ["a", "b"]

        assert [(letter.reason, letter.attempts) for letter in kept(database)] == [
            ("sink_refused", 4)
        ] * 2
        books_now = ledger(database)
        assert books_now.balanced
        assert books_now.lines[0].counts.dead == 2

    with_file(act)


def test_only_the_chosen_letters_and_only_since_a_time_are_sent_again(
    with_file: Callable[[Act], None],
) -> None:
    async def act(database: Database) -> None:
        await append(database, "a", at=1000)
        await append(database, "b", at=2000)
        await append(database, "c", at=3000)
        await begun(database)
        await settle(database, Outcome.DEAD)
        await settle(database, Outcome.DEAD)
        await settle(database, Outcome.DEAD)
        with closing(database.reader()) as reader:
            [_, second, _] = [found.number for found in letters.kept(reader, "crm")]
        orders = EmbeddedReplays(database, "crm")

        await orders.ask(Asked("one", None, 0, [second]))
        chosen = await orders.next()
        assert await replay_all(database, chosen) == ["b"]
        await orders.end(chosen)

        await orders.ask(Asked("two", None, 3000))
        later = await orders.next()
        assert await replay_all(database, later) == ["c"]
        assert [letter.record.id for letter in kept(database)] == ["a"]
        assert ledger(database).balanced

    with_file(act)


def test_a_replay_from_a_time_sends_again_and_leaves_the_books_as_they_are(
    with_file: Callable[[Act], None],
) -> None:
    async def act(database: Database) -> None:
        for at in (1000, 2000, 3000):
            await append(database, f"{at}a", f"{at}b", at=at)
        await begun(database)
        await settle(database, *[Outcome.DELIVERED] * 4)
        before = ledger(database)
        orders = EmbeddedReplays(database, "crm")

        await orders.ask(Asked("again", "events", 2000))
        replay = await orders.next()

        assert await replay_all(database, replay) == ["2000a", "2000b"], "what follows comes anyway"
        assert ledger(database) == before

    with_file(act)


def test_an_event_that_a_replay_puts_aside_is_delivered_in_the_books(
    with_file: Callable[[Act], None],
) -> None:
    """It was delivered once; that it is refused now makes a letter, and no other count."""

    async def act(database: Database) -> None:
        await append(database, "a")
        await begun(database)
        await settle(database, Outcome.DELIVERED)
        before = ledger(database)
        orders = EmbeddedReplays(database, "crm")
        await orders.ask(Asked("again", "events"))
        await replay_all(database, await orders.next(), Outcome.DEAD)
        assert len(kept(database)) == 1
        assert ledger(database) == before
        await orders.end(await orders.next())

        await orders.ask(Asked("letters", None))
        await replay_all(database, await orders.next())

        assert kept(database) == []
        assert ledger(database) == before

    with_file(act)


def test_a_replay_that_a_crash_cut_short_goes_on(with_file: Callable[[Act], None]) -> None:
    async def first(database: Database) -> None:
        await append(database, "a", "b", "c", "d")
        await begun(database)
        await settle(database, *[Outcome.DELIVERED] * 4)
        orders = EmbeddedReplays(database, "crm")
        await orders.ask(Asked("again", "events"))
        replay = await orders.next()
        fetched = await replay.source.read(most=2, wait_s=0)
        assert fetched
        verdicts = [verdict(record, Outcome.DELIVERED) for record in fetched.records]
        await replay.source.commit(Settled.of(verdicts, expired=0))
        await replay.source.close()

    async def second(database: Database) -> None:
        replay = await EmbeddedReplays(database, "crm").next()
        assert replay.id == "again"
        assert await replay_all(database, replay) == ["c", "d"]

    with_file(first)
    with_file(second)


def test_a_dead_letter_is_not_sent_again_before_the_books_have_it(
    with_file: Callable[[Act], None],
) -> None:
    """Else a crash between would read it again, and it would count twice."""

    async def act(database: Database) -> None:
        await append(database, "a")
        await begun(database)
        reading = EmbeddedSource(database, CRM)
        [record] = (await reading.read(most=1, wait_s=0)).records
        await EmbeddedLetters(database, "crm").put([DeadLetter(record, "filter_error", "", 1)])
        orders = EmbeddedReplays(database, "crm")
        await orders.ask(Asked("fix", None))
        replay = await orders.next()

        looking = asyncio.create_task(replay_all(database, replay))
        done, _ = await asyncio.wait([looking], timeout=0.3)
        assert not done
        await reading.commit(Settled.of([verdict(record, Outcome.DEAD, "x")], expired=0))
        await reading.close()

        assert await looking == ["a"]
        assert ledger(database).lines[0].counts.delivered == 1

    with_file(act)


def test_a_pause_outlives_the_process(with_file: Callable[[Act], None]) -> None:
    async def pause(database: Database) -> None:
        crm = EmbeddedControl(database, "crm")
        assert crm.paused == ""
        await crm.pause("the CRM moves house")

    async def look(database: Database) -> None:
        crm = EmbeddedControl(database, "crm")
        assert crm.paused == "the CRM moves house"
        assert EmbeddedControl(database, "other").paused == ""
        await crm.resume()

    async def look_again(database: Database) -> None:
        assert EmbeddedControl(database, "crm").paused == ""

    with_file(pause)
    with_file(look)
    with_file(look_again)


def test_a_stream_that_a_pipeline_no_longer_reads_still_balances(
    with_file: Callable[[Act], None],
) -> None:
    async def act(database: Database) -> None:
        await append(database, "a", "b", stream="events")
        await begun(database)
        await settle(database, Outcome.DELIVERED)
        moved = Reads("crm", "orders")
        await database.submit(begin, Begin(moved, "earliest"))
        await append(database, "o1", stream="orders")

        with closing(database.reader()) as reader:
            found = books.ledger(reader, [moved])

        assert found.balanced
        assert (found.lines[0].accepted, found.lines[0].in_flight) == (2, 1)

    with_file(act)


def test_a_dead_letter_that_is_gone_is_a_fault_of_the_books(
    with_file: Callable[[Act], None],
) -> None:
    async def act(database: Database) -> None:
        await append(database, "a")
        await begun(database)
        await settle(database, Outcome.DEAD)
        assert ledger(database).balanced

        def remove(connection: object, payloads: object) -> list[None]:
            connection.execute("DELETE FROM dead_letters")  # type: ignore[attr-defined]
            return [None]

        await database.submit(remove, None)

        assert ledger(database).faults == ("pipeline 'crm': 1 dead letters counted, 0 kept",)

    with_file(act)


def test_a_letter_is_withdrawn_whose_event_was_delivered_after_a_crash(
    with_file: Callable[[Act], None],
) -> None:
    """Put aside, killed before the commit; and when it is read again, the sink takes it."""

    async def act(database: Database) -> None:
        await append(database, "a", "b")
        await begun(database)
        async with opened(database) as reading:
            records = (await reading.read(most=2, wait_s=0)).records
        aside = [DeadLetter(record, "sink_refused", "no", 3) for record in records]
        await EmbeddedLetters(database, "crm").put(aside)

        await settle(database, Outcome.DELIVERED, Outcome.DEAD)

        assert [letter.record.id for letter in kept(database)] == ["b"]
        assert ledger(database).balanced
        assert ledger(database).faults == ()

    with_file(act)
