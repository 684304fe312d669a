"""
A pipeline that dies at any step of its loop, before or after it: the next process goes on, and
every event is settled once in the books, written at least once, and one dead letter at most.
"""

import asyncio
import signal
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

import dying
from trackmate.embedded import books, letters
from trackmate.embedded.database import Database, connect
from trackmate.embedded.log import EmbeddedLog
from trackmate_contract.record import Event, Stamp

EVENTS = 1200
BYTES = {0: b'"dead"', 1: b'"no"'}


def value(number: int) -> bytes:
    if number == 100:
        return b'"refused"'
    return BYTES.get(number % 40, b"%d" % number)


async def fill(path: Path) -> None:
    """Several rows of the log, so that reading takes several steps."""
    database = Database(path, dying.SCHEMA)
    for first in range(0, EVENTS, 100):
        events = [Event(f"id-{n}", f"user-{n % 11}", value(n)) for n in range(first, first + 100)]
        await EmbeddedLog(database).append("events", Stamp(1000, "web"), events)
    await database.close()


def run(folder: Path, *arguments: object) -> int:
    """Run the process to its end, and return how it ended."""
    command = [sys.executable, dying.__file__, str(folder / "acme.db"), str(folder / "taken")]
    return subprocess.run([*command, *map(str, arguments)], check=False, timeout=60).returncode


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", dying.STEPS)
def test_dying_at_a_step_loses_nothing_and_counts_nothing_twice(
    tmp_path: Path, step: str, when: str, number: int
) -> None:
    asyncio.run(fill(tmp_path / "acme.db"))

    assert run(tmp_path, step, when, number) == -signal.SIGKILL, "the fault did not bite"
    assert run(tmp_path) == 0

    expected = Counter(value(n) for n in range(EVENTS))
    dead, filtered = expected[b'"dead"'], expected[b'"no"']
    with closing(connect(tmp_path / "acme.db")) as reader:
        ledger = books.ledger(reader, [dying.CRM])
        put_aside = letters.kept(reader, "crm", most=EVENTS)
    assert ledger.balanced, ledger.faults
    [line] = ledger.lines
    assert (line.counts.dead, line.counts.filtered) == (dead + 1, filtered)
    assert line.counts.delivered == EVENTS - dead - filtered - 1
    taken = set((tmp_path / "taken").read_text().split())
    not_taken = {f"id-{n}" for n in range(EVENTS)} - taken
    dead_ids = Counter(kept.letter.record.id for kept in put_aside)
    assert set(dead_ids.values()) == {1}
    assert all(kept.letter.record.value in {b'"dead"', b'"refused"'} for kept in put_aside)
    filtered_ids = {f"id-{n}" for n in range(EVENTS) if value(n) == b'"no"'}
    assert not_taken == set(dead_ids) | filtered_ids
