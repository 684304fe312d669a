"""
`200` means stored: the event was written to the affiliate's file and synced before its answer left
(promise P2). kill -9 cannot show this, since the kernel keeps what a killed process wrote; so the
order of the system calls is read, by strace.
"""

import asyncio
import json
import os
import re
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import randrange

import pytest

from mix import Sent, mix
from running import Dev
from traffic import Ledger, Load, Outcome

StartDev = Callable[..., Dev]

SEED = int(os.environ.get("TRACKMATE_SEED", str(randrange(10**6))))
REQUESTS = 150
CONNECTIONS = 8

SYNCS = ("fsync", "fdatasync")
SENDS = ("write", "writev", "sendto", "sendmsg")
WRITES = ("pwrite64", "write", "writev")
STORED = r"\"status\":\"stored\""  # as strace shows it

WHOLE = re.compile(r"^\d+ +[\d.]+ (\w+)\(\d+<(.*?)>(?=[,)])(.*)\) += (-?\d+)")
UNFINISHED = re.compile(r"^(\d+) +[\d.]+ (.*?) <unfinished \.\.\.>$")
RESUMED = re.compile(r"^(\d+) +[\d.]+ <\.\.\. \w+ resumed>(.*)$")


@dataclass(frozen=True)
class Call:
    """A system call that succeeded. Times are lines of the trace, which has the kernel's order."""

    name: str
    file: str
    """What its first argument stands for: a path, or both ends of a connection."""
    text: str
    began: int
    returned: int


def calls(lines: Iterable[str]) -> Iterator[Call]:
    """
    The calls of a trace, by their return.

    >>> trace = ["7 1.0 fsync(3</a-wal> <unfinished ...>", '8 1.1 write(4</b>, "x", 1) = 1',
    ...          "7 1.2 <... fsync resumed>) = 0"]
    >>> [(call.name, call.file, call.began, call.returned) for call in calls(trace)]
    [('write', '/b', 1, 1), ('fsync', '/a-wal', 0, 2)]
    """
    begun: dict[str, tuple[int, str]] = {}
    for number, line in enumerate(lines):
        if unfinished := UNFINISHED.match(line):
            begun[unfinished[1]] = (number, f"{unfinished[1]} 0 {unfinished[2]}")
            continue
        began, whole = number, line
        if resumed := RESUMED.match(line):
            began, start = begun.pop(resumed[1])
            whole = start + resumed[2]
        found = WHOLE.match(whole)
        if found and int(found[4]) >= 0:
            yield Call(found[1], found[2], found[3], began, number)


class Trace:
    """What of a trace tells whether events were synced before their answers."""

    def __init__(self, path: Path, *, seed: int) -> None:
        marks = re.compile(rf"s{seed}-\d+-\d+")
        self.written: dict[str, int] = {}
        """By the mark of an event: when it was first written to the log."""
        self.syncs: list[Call] = []
        self.answers: dict[int, list[int]] = {}
        """By the client's port: when each of its answers began to leave."""
        with path.open() as lines:
            for call in calls(lines):
                if call.file.endswith("acme.db-wal"):
                    self._note_file(call, marks)
                elif call.name in SENDS and STORED in call.text:
                    port = int(call.file.rstrip("]").rsplit(":", 1)[1])
                    self.answers.setdefault(port, []).append(call.began)

    def synced_between(self, written: int, answered: int) -> bool:
        return any(sync.began > written and sync.returned < answered for sync in self.syncs)

    def _note_file(self, call: Call, marks: re.Pattern[str]) -> None:
        if call.name in SYNCS:
            self.syncs.append(call)
        elif call.name in WRITES:
            for mark in marks.findall(call.text):
                self.written.setdefault(mark, call.returned)


@pytest.mark.needs("strace")
def test_every_event_is_synced_before_its_answer_leaves(
    start_dev: StartDev, tmp_path: Path
) -> None:
    print(f"\nseed {SEED}")
    file = tmp_path / "trace"
    traced = ",".join({*SYNCS, *SENDS, *WRITES})
    strace = ("strace", "-f", "-ttt", "-yy", "-s", "9000", "-e", f"trace={traced}", "-o", str(file))
    ledger = Ledger()
    with _ending(start_dev(prefix=strace)) as dev:
        asyncio.run(_send(dev, ledger))
    early = _early(Trace(file, seed=SEED), ledger)
    assert ledger.count(Outcome.OK) > REQUESTS / 2
    assert not early, f"{len(early)} events were not synced before their answers: {early[:10]}"


@contextmanager
def _ending(dev: Dev) -> Iterator[Dev]:
    """strace keeps signals to itself: what it traces is ended by the id that it announced."""
    traced = json.loads((dev.home / ".trackmate" / "instance.json").read_text("utf-8"))["pid"]
    try:
        yield dev
    finally:
        os.kill(traced, signal.SIGTERM)
        dev.process.wait(timeout=60)


async def _send(dev: Dev, ledger: Ledger) -> None:
    load = Load(dev.url, dev.key("server"), ledger)
    load.begin(islice(mix(SEED), REQUESTS), connections=CONNECTIONS)
    await load.ended()


def _acknowledged(ledger: Ledger) -> dict[int, list[tuple[Sent, ...]]]:
    """By the client's port: the events of each request that was stored, in order."""
    by_port: dict[int, list[tuple[Sent, ...]]] = {}
    for attempt in ledger.attempts:
        if attempt.outcome is Outcome.OK:
            by_port.setdefault(attempt.port, []).append(attempt.request.events)
    return by_port


def _early(trace: Trace, ledger: Ledger) -> list[str]:
    """The events whose answer left before they were synced."""
    return [
        event.id
        for port, sent in _acknowledged(ledger).items()
        for events, answered in zip(sent, trace.answers[port], strict=True)
        for event in events
        if not trace.synced_between(trace.written[_mark(event)], answered)
    ]


def _mark(event: Sent) -> str:
    """What an event holds several times, so that no edge of a page cuts all of them."""
    return re.split(r"[.:]", event.id)[0]
