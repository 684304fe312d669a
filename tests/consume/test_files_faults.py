"""
The sink `files` through faults at every step, and through a full disk: each event once.
"""

import asyncio
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import pytest

import dying_disk
from filing import event, files_sink, lines, mounted, opened, until
from trackmate_consume.flow import Ends, Flow, Pace
from trackmate_consume.ledger import Outcome, Settled
from trackmate_consume.letters import DeadLetter
from trackmate_consume.sink import Document, Down, Translated
from trackmate_consume.sinks.files import FilesSink
from trackmate_consume.source import Fetched
from trackmate_contract.record import Record


@pytest.mark.parametrize("how", dying_disk.WAYS)
def test_a_fault_at_any_step_leaves_every_event_once(tmp_path: Path, how: str) -> None:
    command = [sys.executable, dying_disk.__file__, how, str(tmp_path / "disk")]

    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=100)

    assert json.loads(done.stdout) == []
    steps = Counter(line for line in done.stderr.splitlines() if line in dying_disk.STEPS)
    assert steps["pwrite"] > 20, "the faults did not bite"
    assert steps["fsync"] > 20
    assert steps["rename"] > 5


@pytest.mark.needs("mount")
def test_a_disk_that_is_full_for_a_while_costs_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with mounted(out, "-t", "tmpfs", "-o", "size=512k", "tmpfs"):
        ballast = out / "ballast"
        ballast.write_bytes(b"x" * (400 << 10))
        sink, letters = Noting(files_sink(out, bytes="16Ki")), Letters()
        asyncio.run(flow_through(sink, letters, ballast))
        found = lines(out)

    assert [line[:4] for line in found] == [b"%04d" % n for n in range(200)]
    assert letters.put_aside == []


async def flow_through(sink: "Noting", letters: "Letters", ballast: Path) -> None:
    """200 events, on to a disk that holds a few until it is freed."""

    async def pause(reason: str) -> None:
        raise AssertionError(reason)

    async with opened(sink.sink):
        ends = Ends(Numbered(200), Large(), sink, letters)
        flow = Flow("to-files", ends, Pace(events=32, wait_s=0, retry_s=0.01), pause)
        flow.going.set()
        running = asyncio.create_task(flow.run())
        await until(lambda: len(sink.faults) == 2, "one event is set aside, and others are tried")
        full, waiting = sorted(sink.faults)
        assert full.endswith("cannot be written: no space left on device")
        assert waiting.endswith("is to be written first")
        await asyncio.to_thread(ballast.unlink)
        await asyncio.wait_for(running, 20)


class Noting:
    """The sink, and what it said when it was down."""

    def __init__(self, sink: FilesSink) -> None:
        self.sink = sink
        self.lanes = sink.lanes
        self.faults: set[str] = set()

    async def open(self) -> None:
        await self.sink.open()

    async def write(self, batch: Sequence[Translated]) -> Sequence[Outcome]:
        try:
            return await self.sink.write(batch)
        except Down as fault:
            self.faults.add(str(fault))
            raise

    async def close(self) -> None:
        await self.sink.close()


class Numbered:
    """A source of so many events, in steps; every second has one key."""

    def __init__(self, count: int) -> None:
        self._left = list(range(count))

    async def read(self, *, most: int, wait_s: float) -> Fetched | None:
        step, self._left = self._left[:40], self._left[40:]
        keys = {offset: "one" if offset % 2 else str(offset) for offset in step}
        records = [event(offset).record._replace(key=keys[offset]) for offset in step]
        return Fetched(records) if records else None

    async def commit(self, settled: Settled) -> None:
        """Nobody asks."""

    async def over(self) -> NoReturn:
        await asyncio.Event().wait()
        raise AssertionError

    async def close(self) -> None:
        """Nothing is held."""


class Large:
    """Every third document is large, so that small ones fit where it does not."""

    async def translate(self, records: Sequence[Record]) -> list[tuple[Document]]:
        sizes = {record.offset: 3000 if record.offset % 3 else 10 for record in records}
        return [(Document(b"%04d" % n + b"x" * size),) for n, size in sizes.items()]


class Letters:
    def __init__(self) -> None:
        self.put_aside: list[DeadLetter] = []

    async def put(self, letters: Sequence[DeadLetter]) -> None:
        self.put_aside += letters
