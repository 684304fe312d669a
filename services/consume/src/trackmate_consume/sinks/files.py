"""
The sink `files`: a line for every document in files of a folder, each event exactly once.

A file that is being written is in a hidden folder; a finished one appears whole. Beside each open
file a journal says which events are in it, so that a repeated event is known, and a process that
was killed goes on where the other was. `docs/sinks-files.md` is the page for users.
"""

import asyncio
import logging
import os
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from errno import EACCES, EEXIST, ELOOP, ENAMETOOLONG, ENOTDIR, EPERM, EROFS
from functools import partial
from pathlib import Path
from typing import TypeVar

from trackmate_consume.formats import Format
from trackmate_consume.ledger import Outcome, Place
from trackmate_consume.sink import Down, Translated, Unfit
from trackmate_consume.sinks.current import JOURNAL, OPEN, Current
from trackmate_consume.sinks.file_names import Writer, place_name
from trackmate_consume.sinks.spool import PATH, Spool
from trackmate_contract.pipeline import Files

Done = TypeVar("Done")

_TRY_AGAIN_S = 30  # after a file could not be finished

_log = logging.getLogger("trackmate.consume")

_UNFIT = {
    EACCES: "may not be written by user {user}; give it the right, or name another folder",
    EPERM: "may not be written by user {user}; give it the right, or name another folder",
    EROFS: "is on a read-only file system; name a folder that can be written",
    EEXIST: "is no folder, but a file; name another, or take the file away",
    ENOTDIR: "is below a file; name another, or take the file away",
    ELOOP: "is a symbolic link that leads to itself; name a folder",
    ENAMETOOLONG: "is too long a name for this file system; name another",
}


class FilesSink:
    """
    Writes into one folder. All work on the disk is done by one thread, in order: a write that is
    cancelled ends by itself before the next begins.
    """

    lanes = 1

    def __init__(self, spec: Files, form: Format, writer: Writer) -> None:
        self._path = Path(spec.path).absolute()
        self._rotate = spec.rotate
        self._form = form
        self._writer = writer
        self._disk = ThreadPoolExecutor(1, f"files {writer.pipeline}")
        self._spool: Spool | None = None
        self._places: dict[str, Current] = {}
        self._owed: tuple[str, int, int] | None = None
        self._timer: asyncio.Task[None] | None = None
        self._fault = ""

    async def open(self) -> None:
        """Make the folder where it is missing, and take up what a killed process left."""
        await self._done(self._opened)
        if self._timer is None:
            self._timer = asyncio.create_task(self._finish_on())

    async def write(self, batch: Sequence[Translated]) -> Sequence[Outcome]:
        """Write what is not written yet."""
        await self._done(partial(self._write, batch))
        return [Outcome.DELIVERED] * len(batch)

    async def close(self) -> None:
        """Finish what is open."""
        if self._timer is not None:
            self._timer.cancel()
            await asyncio.gather(self._timer, return_exceptions=True)
        try:
            await self._done(self._close)
        finally:
            self._disk.shutdown(wait=False)

    async def _done(self, work: Callable[[], Done]) -> Done:
        return await asyncio.get_running_loop().run_in_executor(self._disk, work)

    async def _finish_on(self) -> None:
        """Finish files that are old enough, whether events come or not."""
        while True:
            wait_s = await self._done(self._finish_old)
            await asyncio.sleep(wait_s)

    # what follows runs on the thread

    def _opened(self) -> None:
        """Open the folder, or again after a fault, or where somebody removed what is held."""
        if self._spool is not None and self._held():
            return
        self._let_go()
        try:
            self._take_up()
        except BaseException as fault:
            self._let_go()
            if isinstance(fault, OSError):
                raise self._in_words(fault) from fault
            raise

    def _held(self) -> bool:
        there = self._spool is not None and self._spool.there
        return there and all(current.there for current in self._places.values())

    def _take_up(self) -> None:
        self._spool = Spool(self._path, self._writer)
        for place in {*self._spool.names(JOURNAL), *self._spool.names(OPEN)}:
            self._places[place] = self._current(place)
        for writer in self._spool.before():
            self._finish_before(writer)

    def _finish_before(self, writer: Writer) -> None:
        """Finish what was left open of a log that is no more, unless its process lives."""
        try:
            spool = Spool(self._path, writer)
        except Down:
            return
        try:
            for place in spool.names(JOURNAL):
                current = Current(spool, place, self._form, most=self._rotate.bytes)
                try:
                    current.finish()
                finally:
                    current.close()
        except Unfit as fault:
            self._warn(str(fault))
        finally:
            spool.close()

    def _current(self, place: str) -> Current:
        assert self._spool is not None  # noqa: S101 - its callers opened it
        return Current(self._spool, place, self._form, most=self._rotate.bytes)

    def _write(self, batch: Sequence[Translated]) -> None:
        if self._owed and self._owed not in map(_origin, batch):
            stream, partition, offset = self._owed
            raise Down(f"event {offset} of {place_name(stream, partition)} is to be written first")
        self._owed = self._owed or _origin(batch[0])
        try:
            self._opened()
            for (stream, partition), events in _by_place(batch).items():
                self._write_to(place_name(stream, partition), events)
        except BaseException as fault:
            self._let_go()  # what is on the disk says how far it came
            raise self._down(fault) from fault
        self._owed = None
        self._fault = ""

    def _write_to(self, place: str, events: Sequence[Translated]) -> None:
        if place not in self._places:
            self._places[place] = self._current(place)
        self._places[place].write(events, now_ms=_now_ms())

    def _finish_old(self) -> float:
        """Finish what is old enough; return how long until the next may be, in seconds."""
        every_s = self._rotate.every_s
        try:
            self._opened()
            left_s = [left for one in self._places.values() if (left := self._left_s(one))]
        except (OSError, Down, Unfit) as fault:
            self._let_go()
            self._warn(_said(fault))
            return min(every_s, _TRY_AGAIN_S)
        return min(every_s, *left_s) if left_s else every_s

    def _left_s(self, current: Current) -> float:
        """How long its file may stay open; 0 where none is, or it was finished now."""
        if current.begun_ms is None:
            return 0
        left_ms = current.begun_ms + self._rotate.every_s * 1000 - _now_ms()
        if left_ms <= 0:
            current.finish()
        return max(0, left_ms) / 1000

    def _close(self) -> None:
        try:
            for current in self._places.values():
                current.finish()
        except OSError as fault:  # it is gone on with at the next start
            self._warn(_said(fault))
        finally:
            self._let_go()

    def _let_go(self) -> None:
        for current in self._places.values():
            current.close()
        self._places = {}
        if self._spool is not None:
            self._spool.close()
            self._spool = None

    def _warn(self, fault: str) -> None:
        """Log the change and not each try."""
        if fault != self._fault:
            fields = {"pipeline": self._writer.pipeline, "error": fault}
            _log.warning("a file cannot be finished", extra={"fields": fields})
        self._fault = fault

    def _down(self, fault: BaseException) -> BaseException:
        """What a write raises: a folder that was fit once may be so again."""
        if isinstance(fault, OSError):
            fault = self._in_words(fault)
        return Down(str(fault)) if isinstance(fault, Unfit) else fault

    def _in_words(self, fault: OSError) -> Down | Unfit:
        where = repr(str(self._path))
        if fault.errno in _UNFIT:
            words = _UNFIT[fault.errno].format(user=os.geteuid())
            return Unfit(PATH, f"{where} {words}")
        return Down(f"{where} cannot be written: {_said(fault)}")


def _origin(event: Translated) -> tuple[str, int, int]:
    return event.record.stream, event.record.partition, event.record.offset


def _by_place(batch: Sequence[Translated]) -> Mapping[Place, list[Translated]]:
    places: defaultdict[Place, list[Translated]] = defaultdict(list)
    for event in batch:
        record = event.record
        places[record.stream, record.partition].append(event)
    return places


def _said(fault: Exception) -> str:
    if isinstance(fault, OSError) and fault.errno:
        return os.strerror(fault.errno).lower()
    return str(fault)


def _now_ms() -> int:
    return int(time.time() * 1000)
