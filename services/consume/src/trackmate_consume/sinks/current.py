"""
The file of one place that the sink `files` writes now, with its journal.

    write    bytes to the open file, sync; a line to the journal, sync
    finish   the line "ending", sync; rename, sync the folders; the line "no file", sync

Whatever step is the last before the process dies, what is found tells which it was. A fault is
handled as a death is: who meets one closes everything and opens it again.
"""

import os
from collections.abc import Sequence

from trackmate_consume.formats import Format
from trackmate_consume.sink import Translated, Unfit
from trackmate_consume.sinks import journal
from trackmate_consume.sinks.chunks import Chunk, chunks, digest, pieces, takes
from trackmate_consume.sinks.journal import Damaged, File, Range, State, Written
from trackmate_consume.sinks.spool import HIDDEN, PATH, Spool, sync, write_at

JOURNAL, OPEN = ".journal", ".open"
"""How their names end; before it stands the place."""
JOURNAL_BYTES = 64 << 10
"""When the journal has so many, and four times what it must hold, it is written anew."""


class Current:
    """One place's. Raises OSError, and Unfit where what it finds cannot be gone on with."""

    def __init__(self, spool: Spool, place: str, form: Format, *, most: int) -> None:
        """`most` are the bytes from which on a file is finished."""
        self._spool = spool
        self._place = place
        self._form = form
        self._most = most
        self._data = -1
        self._journal = -1
        self._written, self._state = Written(), State()
        try:
            self._resume()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go; what is open stays, to be gone on with."""
        for file in (self._data, self._journal):
            if file >= 0:
                os.close(file)
        self._data = self._journal = -1

    @property
    def begun_ms(self) -> int | None:
        """When the open file was begun, in milliseconds since 1970; None where there is none."""
        return self._state.file and self._state.file.begun_ms

    @property
    def there(self) -> bool:
        """Whether nobody removed what it writes to."""
        held = [file for file in (self._data, self._journal) if file >= 0]
        return all(os.fstat(file).st_nlink for file in held)

    def write(self, events: Sequence[Translated], *, now_ms: int) -> None:
        """Write those that are not written yet; return once all are safe."""
        known = self._written.among([event.record.offset for event in events])
        if known:
            events = [event for event in events if event.record.offset not in known]
        todo = pieces(events, self._form.line, self._state.cut)
        for chunk in chunks(todo, self._state.file, most=self._most):
            if self._state.file and not takes(self._state.file, chunk.head, most=self._most):
                self.finish()
            self._add(chunk, now_ms)
        if self._state.file and self._state.file.length >= self._most:
            self.finish()

    def finish(self) -> None:
        """Let the open file appear among the finished ones, if there is one."""
        file = self._state.file
        if file is None:
            return
        if not self._state.ending:
            self._note([], self._state._replace(ending=True))
        writer = self._spool.writer
        names = writer.files(self._place, file.first, file.last, file.extension)
        self._spool.publish(self._place + OPEN, names)
        if self._data >= 0:
            os.close(self._data)
            self._data = -1
        self._note([], State(cut=self._state.cut))

    def _resume(self) -> None:
        said = self._spool.read(self._place + JOURNAL)
        size = self._spool.size(self._place + OPEN)
        try:
            if said is not None:
                self._written, self._state = journal.read(said)
            elif size is not None:
                raise Damaged("it is not there")  # noqa: TRY301 - as what is read may say
            length = journal.kept(self._state, size)
        except Damaged as fault:
            raise Unfit(PATH, self._damage(fault)) from None
        self._write_anew()  # what a failed sync left in memory alone is on the disk after this
        if length:
            self._data = self._spool.open(self._place + OPEN)
            os.ftruncate(self._data, length)
        file = self._state.file
        if self._state.ending or (file and file.extension != self._form.extension):
            self.finish()

    def _add(self, chunk: Chunk, now_ms: int) -> None:
        file = self._state.file
        lines = chunk.lines
        if file is None:
            lines = chunk.head + b"\n" + lines if chunk.head else lines
            self._data = self._spool.open(self._place + OPEN, os.O_CREAT | os.O_TRUNC)
            self._spool.sync()
            head, extension = digest(chunk.head), self._form.extension
            file = File(now_ms, extension, head, chunk.first, chunk.last, 0)
        write_at(self._data, lines, file.length)
        sync(self._data)
        file = file._replace(
            first=min(file.first, chunk.first),
            last=max(file.last, chunk.last),
            length=file.length + len(lines),
        )
        self._note(chunk.written, State(file, chunk.cut))

    def _note(self, written: Sequence[Range], state: State) -> None:
        """Make safe that this is so now."""
        line = journal.line(written, state)
        write_at(self._journal, line, self._length)
        sync(self._journal)
        self._length += len(line)
        self._written.add(written)
        self._state = state
        if self._length > self._rewritten_at:
            self._write_anew()

    def _write_anew(self) -> None:
        """Let the journal say in one line what it says in many."""
        line = journal.line(self._written.ranges, self._state)
        file = self._spool.replace(self._place + JOURNAL, line)
        if self._journal >= 0:
            os.close(self._journal)
        self._journal = file
        self._length = len(line)
        self._rewritten_at = JOURNAL_BYTES + 4 * len(line)

    def _damage(self, fault: Damaged) -> str:
        where = self._spool.path / HIDDEN / self._spool.writer.folder / self._place
        return (
            f"the journal {str(where) + JOURNAL!r} cannot be gone on with: {fault}; move it away, "
            f"and {OPEN!r} beside it, to go on with the next event"
        )
