"""
The consume loop, on a source and a sink of a few lines: what is settled is committed, what is not
comes again, and an outage loses nothing.
"""

import asyncio
from collections.abc import Sequence

from trackmate_consume.ledger import Counts, Outcome, Settled
from trackmate_consume.loop import Pipeline
from trackmate_consume.sinks import Down, Translated
from trackmate_consume.source import Fetched
from trackmate_consume.translate import to_document
from trackmate_contract.record import Record, Stamp


def record(offset: int, stream: str = "events") -> Record:
    return Record(stream, 0, offset, f"id-{offset}", None, b"{}", Stamp(0, "web"))


class Listed:
    """A source of given steps, which remembers what was committed."""

    def __init__(self, *steps: Fetched, down: int = 0) -> None:
        self.steps = list(steps)
        self.committed: list[Settled] = []
        self.down = down

    async def read(self, *, most: int, wait_s: float) -> Fetched:
        return self.steps.pop(0)

    async def commit(self, settled: Settled) -> None:
        if self.down:
            self.down -= 1
            raise Down("the log does not answer")
        self.committed.append(settled)


class Kept:
    """A sink that keeps documents, after some refusals to do so."""

    def __init__(self, *, down: int = 0, outcomes: Sequence[Outcome] = ()) -> None:
        self.written: list[list[str]] = []
        self.down = down
        self.outcomes = outcomes

    async def write(self, documents: Sequence[Translated]) -> Sequence[Outcome]:
        if self.down:
            self.down -= 1
            raise Down("the disk is full")
        self.written.append([translated.record.id for translated in documents])
        return self.outcomes or [Outcome.DELIVERED] * len(documents)


def run(source: Listed, sink: Kept) -> Pipeline:
    pipeline = Pipeline("store", source, to_document, sink)
    asyncio.run(pipeline.step())
    return pipeline


def test_commits_positions_and_counts_once_the_documents_are_written() -> None:
    source, sink = Listed(Fetched([record(4), record(5), record(0, "scans")])), Kept()

    run(source, sink)

    assert sink.written == [["id-4", "id-5", "id-0"]]
    [settled] = source.committed
    assert settled.positions == {("events", 0): 6, ("scans", 0): 1}
    assert settled.counts == Counts(delivered=3, documents=3)


def test_every_outcome_is_counted_as_its_term() -> None:
    outcomes = [Outcome.DELIVERED, Outcome.DUPLICATE, Outcome.CONFLICT, Outcome.CONFLICT]
    source = Listed(Fetched([record(n) for n in range(4)], expired=7))

    run(source, Kept(outcomes=outcomes))

    expected = Counts(delivered=1, duplicates=1, conflicts=2, expired=7, documents=3)
    assert source.committed[0].counts == expected
    assert expected.settled == 11


def test_while_the_sink_is_down_nothing_is_committed_and_the_same_documents_are_tried_again() -> (
    None
):
    source, sink = Listed(Fetched([record(0)])), Kept(down=3)

    run(source, sink)

    assert sink.written == [["e::events::id-0"]]
    assert len(source.committed) == 1


def test_a_commit_that_fails_is_repeated_without_writing_again() -> None:
    source, sink = Listed(Fetched([record(0)]), down=2), Kept()

    run(source, sink)

    assert len(sink.written) == 1
    assert len(source.committed) == 1


def test_the_last_error_is_in_words_while_the_sink_is_down_and_gone_after() -> None:
    seen: list[str] = []

    class Watching(Kept):
        async def write(self, documents: Sequence[Translated]) -> Sequence[Outcome]:
            seen.append(pipeline.last_error)
            return await super().write(documents)

    pipeline = Pipeline("store", Listed(Fetched([record(0)])), to_document, Watching(down=1))
    asyncio.run(pipeline.step())

    assert seen == ["", "the disk is full"]
    assert pipeline.last_error == ""


def test_a_fault_that_is_no_outage_is_said_and_commits_nothing_until_it_is_mended() -> None:
    class Broken(Kept):
        tries = 0

        async def write(self, documents: Sequence[Translated]) -> Sequence[Outcome]:
            self.tries += 1
            if self.tries < 3:
                raise ZeroDivisionError
            seen.append((pipeline.last_error, len(source.committed)))
            return await super().write(documents)

    seen: list[tuple[str, int]] = []
    source = Listed(Fetched([record(0)]))
    pipeline = Pipeline("store", source, to_document, Broken())
    asyncio.run(pipeline.step())

    assert seen == [("ZeroDivisionError", 0)]
    assert (pipeline.last_error, len(source.committed)) == ("", 1)
