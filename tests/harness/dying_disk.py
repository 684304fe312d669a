"""
A process whose sink `files` meets a fault at each step on the disk in turn, and what is in the
finished files when another process has gone on from the last commit.

`python dying_disk.py HOW FOLDER` prints a JSON list of what was wrong, and on the standard error a
line for each step that a fault came at. HOW is one of `WAYS`: the process is killed there, as
`kill -9` would, within a step where that writes, and once more in the next process; the power goes,
and what was not synced is not there; the disk is full, and takes a part, and soon the process is
killed too; or the disk does as it is told and says it failed.

Each run is a fork of this process, which has no threads. The limit of the power cut: what was not
synced is lost wholly, in the order of a journaling file system.
"""

import asyncio
import errno
import json
import os
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from filing import event, files_sink, finished, hand, opened
from trackmate_consume.sink import Down, Translated
from trackmate_consume.sinks import current

STEPS = ("mkdir", "open", "pwrite", "fsync", "rename", "ftruncate")
WAYS = ("killed", "killed twice", "power cut", "full", "full and killed", "failed")
BATCH = 4
SOON = 9  # steps: when the second fault comes
JOURNAL_BYTES = 200  # small, so that the journal is written anew on the way
KNOWN = 0, 17  # exit codes: all was done, the fault came at no step


def head(name: bytes) -> bytes:
    return b"n," + name


def events() -> list[Translated]:
    """Of two places; the heads change, also within an event; some make a file full."""
    made = []
    for offset in range(12):
        row = b"%d," % offset
        documents = [row + b"x" * 240, row + b"y"]
        made.append(event(offset, *documents, head=head(b"a" if offset < 9 else b"b")))
        if offset % 4 == 1:
            made.append(event(offset // 4, b"p%d,z" % offset, head=head(b"a"), partition=1))
    first, second = made[6].documents
    between = first._replace(head=head(b"b"))
    made[6] = made[6]._replace(documents=(first, between, second))
    return made


def expected() -> Counter[bytes]:
    return Counter(document.value for one in events() for document in one.documents)


class Steps:
    """The calls by which the disk is changed, counted; at one of them the fault comes."""

    def __init__(self, how: str, at: int) -> None:
        self._how = how
        self._left = at
        self._unsynced: list[tuple[set[int], Callable[[], object]]] = []
        for name in STEPS:
            setattr(os, name, self._counted(name, getattr(os, name)))

    @property
    def met(self) -> bool:
        return self._left <= 0

    def _counted(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            if name == "open" and not arguments[1] & os.O_CREAT:
                return call(*arguments, **named)
            self._left -= 1
            if self._left == 0:
                self._fail(name, call, arguments, named)
            if self._how == "power cut":
                self._remember(name, arguments, named)
            return call(*arguments, **named)

        return counted

    def _fail(
        self, name: str, call: Callable[..., Any], arguments: tuple[Any, ...], named: Any
    ) -> None:
        print(name, file=sys.stderr, flush=True)
        if self._how.startswith(("killed", "full")) and name == "pwrite":
            file, content, at = arguments
            call(file, content[:-1], at)
        if self._how == "failed":
            with suppress(FileExistsError, FileNotFoundError):
                call(*arguments, **named)
        if self._how == "power cut":
            for _, undo in reversed(self._unsynced):
                undo()
        if self._how == "full and killed":
            self._how, self._left = "killed", SOON
        if self._how.startswith(("full", "failed")) or self._left:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.kill(os.getpid(), signal.SIGKILL)

    def _remember(self, name: str, arguments: tuple[Any, ...], named: Any) -> None:
        """What a power cut undoes, until it is synced, and by syncing what: files and folders."""
        if name == "fsync":
            synced = os.fstat(arguments[0]).st_ino
            self._unsynced = [one for one in self._unsynced if synced not in one[0]]
        if name == "pwrite":
            file = Path(f"/proc/self/fd/{os.dup(arguments[0])}")  # wherever it is moved
            self._unsynced.append(({os.fstat(arguments[0]).st_ino}, _restoring(file)))
        if name == "open":
            made = _folder(named["dir_fd"]) / arguments[0]
            self._unsynced.append(({os.fstat(named["dir_fd"]).st_ino}, _restoring(made)))
        if name == "rename":
            old, new = arguments
            old, new = _folder(named["src_dir_fd"]) / old, _folder(named["dst_dir_fd"]) / new
            moved = _restoring(new), _restoring(old)
            holder = {os.fstat(named["dst_dir_fd"]).st_ino}
            self._unsynced.append((holder, lambda: [undo() for undo in moved]))


def _folder(descriptor: int) -> Path:
    return Path(f"/proc/self/fd/{descriptor}").readlink()


def _restoring(path: Path) -> Callable[[], object]:
    """What makes the file be as it is now. In the place: who has it open sees it."""
    content = path.read_bytes() if path.exists() else None
    if content is None:
        return lambda: path.unlink(missing_ok=True)
    return lambda: path.write_bytes(content)


async def go_on(folder: Path, most: int) -> None:
    """Write from the last commit on; what is Down comes again in halves, as from a flow."""
    committed = folder / "committed"
    position = int(committed.read_text()) if committed.exists() else 0
    left = events()[position:]
    sink = files_sink(folder / "out", form="csv", bytes="1Ki")
    while not await _taken(sink.open()):
        pass
    async with opened(sink):
        size = most
        while left:
            if not await _taken(sink.write(left[:size])):
                size = max(1, size // 2)
                continue
            left, size = left[size:], most
            committed.write_text(str(len(events()) - len(left)))


async def _taken(work: Awaitable[object]) -> bool:
    with suppress(Down):
        await work
        return True
    return False


def in_fork(work: Callable[[], int]) -> int:
    """What became of it: its exit code, or the signal that ended it, negative."""
    child = os.fork()
    if not child:
        code = 1
        try:
            code = work()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _with_fault(how: str, at: int, folder: Path) -> int:
    steps = Steps(how, at)
    asyncio.run(go_on(folder, BATCH))
    return 0 if steps.met else KNOWN[1]


def _without(folder: Path) -> int:
    """A process that is stopped before an event comes, and one that goes on to the end."""
    hand(files_sink(folder / "out", form="csv", bytes="1Ki"))
    asyncio.run(go_on(folder, 1))
    return 0


def wrong(folder: Path, *, whole: bool) -> Iterator[str]:
    """What is wrong with the finished files, of all events or of those that are there already."""
    found: Counter[bytes] = Counter()
    for name, content in finished(folder / "out").items():
        first, *rows = content.split(b"\n")
        if first not in {head(b"a"), head(b"b")} or rows.pop():
            yield f"{name} is no whole file"
        offsets = {int(row.split(b",")[0].lstrip(b"p")) for row in rows if row[:1] != b"p"}
        low, high = map(int, name.split(".")[4].split("-"))
        if offsets and (min(offsets), max(offsets)) != (low, high):
            yield f"{name} has the events {sorted(offsets)}"
        found.update(rows)
    yield from (f"{row[:20]!r} is there again" for row in found - expected())
    if whole:
        yield from (f"{row[:20]!r} is missing" for row in expected() - found)
        if list((folder / "out").rglob("*.open")):
            yield "a file is still open"


def judged(how: str, at: int, folder: Path) -> list[str] | None:
    """What was wrong after the fault at this step; None where there are not so many."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    first = "killed" if how == "killed twice" else how
    ended = [in_fork(lambda: _with_fault(first, at, folder))]
    if ended == [KNOWN[1]]:
        return None
    faults = list(wrong(folder, whole=False)) if (folder / "out").exists() else []
    if how == "killed twice":
        ended.append(in_fork(lambda: _with_fault("killed", 1 + at % 13, folder)))
        faults += wrong(folder, whole=False)
    survives = how.startswith(("full", "failed"))
    if ended[0] != (0 if survives else -signal.SIGKILL) and how != "full and killed":
        faults.append(f"the process ended with {ended}")
    if again := in_fork(lambda: _without(folder)):
        faults.append(f"the next process ended with {again}")
    return faults + list(wrong(folder, whole=True))


def main(how: str, folder: Path) -> None:
    current.JOURNAL_BYTES = JOURNAL_BYTES
    os.fsync = lambda fd: None  # slow, and no fault here is the disk's own
    faults = []
    for at in count(1):
        found = judged(how, at, folder)
        if found is None:
            break
        faults += [f"{how} at step {at}: {one}" for one in found]
    print(json.dumps(faults))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
