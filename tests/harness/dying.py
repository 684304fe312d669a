"""
A process that moves one stream's events through a pipeline and dies at a step of the loop: as
`kill -9` would end it, just before or just after the step, the n-th time it comes.

`python dying.py DATABASE SINK-FILE STEP WHEN N`; without a step it runs until all is settled.
Events whose bytes are `"dead"` become dead letters, `"no"` are filtered; the sink appends the ids
that it takes to a file and syncs it, and refuses `"refused"`.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from trackmate.backbone import Reads
from trackmate.embedded import books, control, keybook, letters, log, replays, store
from trackmate.embedded.books import Begin, begin
from trackmate.embedded.control import EmbeddedControl
from trackmate.embedded.database import Database
from trackmate.embedded.letters import EmbeddedLetters
from trackmate.embedded.replays import EmbeddedReplays
from trackmate.embedded.source import EmbeddedSource
from trackmate_consume.flow import Pace
from trackmate_consume.ledger import Outcome
from trackmate_consume.pipeline import Parts, Pipeline
from trackmate_consume.program import Dead, Filtered, Result
from trackmate_consume.sink import Document, Refused, Translated
from trackmate_contract.record import Record

SCHEMA = "".join(m.SCHEMA for m in (log, store, books, keybook, letters, replays, control))
CRM = Reads("crm", "events")
STEPS = ("read", "translate", "put", "write", "commit")


class Told:
    """What the events' bytes say is to become of them."""

    async def translate(self, records: Sequence[Record]) -> list[Result]:
        return [self._one(record) for record in records]

    async def close(self) -> None:
        """Nothing is held."""

    def _one(self, record: Record) -> Result:
        if record.value == b'"dead"':
            return Dead("transform_error", "told so")
        return Filtered("false") if record.value == b'"no"' else (Document(record.value),)


class Appending:
    """A sink that is as safe as a file can be."""

    lanes = 2

    def __init__(self, path: Path) -> None:
        self._path = path

    async def open(self) -> None:
        """Opened at each write."""

    async def write(self, batch: Sequence[Translated]) -> list[Outcome]:
        if any(translated.record.value == b'"refused"' for translated in batch):
            raise Refused("told so")
        with self._path.open("ab") as file:
            file.write(b"".join(t.record.id.encode() + b"\n" for t in batch))
            file.flush()
            os.fsync(file.fileno())
        return [Outcome.DELIVERED] * len(batch)

    async def close(self) -> None:
        """Nothing is held."""


def dying(step: Callable[..., Awaitable[Any]], when: str, left: list[int]) -> Any:
    """The step, which the process does not survive the n-th time."""

    async def wrapped(*arguments: Any, **named: Any) -> Any:
        left[0] -= 1
        last = left[0] == 0  # now: another call may begin before this one ends
        if when == "before" and last:
            os.kill(os.getpid(), signal.SIGKILL)
        result = await step(*arguments, **named)
        if when == "after" and last:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return wrapped


async def main(path: Path, taken: Path, step: str, when: str, number: int) -> None:
    database = Database(path, SCHEMA)
    await database.submit(begin, Begin(CRM, "earliest"))
    for owner, name in (
        (EmbeddedSource, "read"),
        (Told, "translate"),
        (EmbeddedLetters, "put"),
        (Appending, "write"),
        (EmbeddedSource, "commit"),
    ):
        if name == step:
            setattr(owner, name, dying(getattr(owner, name), when, [number]))
    parts = Parts(
        source=partial(EmbeddedSource, database, CRM),
        program=Told(),
        sink=lambda _: Appending(taken),
        letters=EmbeddedLetters(database, "crm"),
        replays=EmbeddedReplays(database, "crm"),
        control=EmbeddedControl(database, "crm"),
    )
    pipeline = Pipeline("crm", parts, Pace(events=7, wait_s=0, retry_s=0.2))
    running = asyncio.create_task(pipeline.run())
    reader = database.reader()
    while books.ledger(reader, [CRM]).lines[0].in_flight:  # noqa: ASYNC110 - the books have no event
        await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    reader.close()
    await database.close()


if __name__ == "__main__":
    database, sink, *at = sys.argv[1:]
    step, when, number = at or ("", "", "0")
    asyncio.run(main(Path(database), Path(sink), step, when, int(number)))
