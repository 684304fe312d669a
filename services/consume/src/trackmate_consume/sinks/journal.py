"""
The journal of the sink `files`: what is in the open file of one place, said in lines beside it.

A line is appended, and synced, after the bytes that it speaks of. It has a checksum, so that a line
which a crash cut short is known and passed over; bytes of the open file that no line speaks of are
no part of it. The last whole line says how things are.

Offsets are kept each, and not as "all up to": a pipeline that was changed may want an event that it
passed over before, and a replay comes again with what it could not translate the last time.
"""

import json
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple
from zlib import crc32

MOST_REPEATED = 1 << 17
"""Offsets that are kept: more than a crash repeats, which is what a flow's window holds."""

Range = tuple[int, int]
"""The first and the last of offsets that follow each other."""


class Damaged(Exception):  # noqa: N818 - what the journal is
    """It does not say what was written; the message says what is wrong, in words."""


class File(NamedTuple):
    """A file that is open."""

    begun_ms: int
    """When, in milliseconds since 1970."""
    extension: str
    head: str
    """A digest of its first line, where that names columns; else ""."""
    first: int
    last: int
    """The lowest and highest offset in it."""
    length: int
    """In bytes."""


class Cut(NamedTuple):
    """An event of whose documents only the first are written: the others go into the next file."""

    offset: int
    documents: int


class State(NamedTuple):
    """How things are with one place."""

    file: File | None = None
    cut: Cut | None = None
    ending: bool = False
    """The file is whole, and is being given its name."""


class Written:
    """The offsets that were written last, exactly, in the order of writing."""

    def __init__(self, *, most: int = MOST_REPEATED) -> None:
        self._most = most
        self._ranges: deque[Range] = deque()
        self._count = 0
        self._highest = -1

    @property
    def ranges(self) -> Sequence[Range]:
        return tuple(self._ranges)

    def add(self, ranges: Iterable[Range]) -> None:
        """
        >>> written = Written(most=5)
        >>> written.add([(0, 3), (4, 4), (8, 9)])
        >>> written.ranges
        ((2, 4), (8, 9))
        """
        for first, last in ranges:
            if self._ranges and self._ranges[-1][1] == first - 1:
                self._ranges[-1] = (self._ranges[-1][0], last)
            else:
                self._ranges.append((first, last))
            self._count += last - first + 1
            self._highest = max(self._highest, last)
        while self._count > self._most:
            self._forget()

    def among(self, offsets: Sequence[int]) -> set[int]:
        """
        Which of these are written.

        >>> written = Written()
        >>> written.add([(5, 6), (8, 8), (2, 2)])
        >>> sorted(written.among([1, 2, 5, 7, 8, 9]))
        [2, 5, 8]
        """
        if not offsets or min(offsets) > self._highest:  # so it is but after a crash or a fault
            return set()
        ranges = sorted(self._ranges)
        before = [(offset, bisect_right(ranges, (offset, self._highest)) - 1) for offset in offsets]
        return {offset for offset, at in before if at >= 0 and offset <= ranges[at][1]}

    def _forget(self) -> None:
        first, last = self._ranges.popleft()
        most = self._count - self._most
        self._count -= min(most, last - first + 1)
        if first + most <= last:
            self._ranges.appendleft((first + most, last))


def ranges_of(offsets: Iterable[int]) -> list[Range]:
    """
    >>> ranges_of([4, 5, 6, 9, 2])
    [(4, 6), (9, 9), (2, 2)]
    """
    found: list[Range] = []
    for offset in offsets:
        if found and found[-1][1] == offset - 1:
            found[-1] = (found[-1][0], offset)
        else:
            found.append((offset, offset))
    return found


def line(written: Sequence[Range], state: State) -> bytes:
    """A line: the events that are new with it, and how things are now."""
    content = {
        "events": written,
        "file": state.file and state.file._asdict(),
        "cut": state.cut,
        "ending": state.ending,
    }
    body = json.dumps(content, separators=(",", ":")).encode()
    return b"%08x %b\n" % (crc32(body), body)


def read(data: bytes) -> tuple[Written, State]:
    """
    What a journal says. Raises Damaged where a line that is not the last is not whole.

    >>> first, second = line([(0, 4)], State()), line([(5, 5)], State(cut=Cut(6, 1)))
    >>> written, state = read(first + second + second[:-5])
    >>> written.ranges, state.cut
    (((0, 5),), Cut(offset=6, documents=1))
    """
    *lines, rest = data.split(b"\n")
    contents = [_content(one) for one in lines]
    if contents and contents[-1] is None and not rest:
        contents.pop()
    written, state = Written(), None
    for number, content in enumerate(contents, 1):
        if content is None:
            raise Damaged(f"line {number} of it does not match its checksum")
        written.add((first, last) for first, last in content["events"])
        state = _state(content)
    if state is None:
        raise Damaged("it has no whole line")
    return written, state


def kept(state: State, size: int | None) -> int:
    """
    How many bytes of the open file are to stay, by its size, or None where it is not there. Raises
    Damaged where bytes are missing.

    >>> kept(State(), None), kept(State(), 7)
    (0, 0)
    """
    if state.file is None or (state.ending and size is None):  # it has its name already
        return 0
    if size is None:
        raise Damaged(f"the open file, of {state.file.length} bytes, is not there")
    if size < state.file.length:
        raise Damaged(f"the open file has {size} bytes, and {state.file.length} were written to it")
    return state.file.length


def _content(one: bytes) -> dict[str, Any] | None:
    """None where it is not whole."""
    checksum, _, body = one.partition(b" ")
    if checksum != b"%08x" % crc32(body):
        return None
    content: dict[str, Any] = json.loads(body)
    return content


def _state(content: dict[str, Any]) -> State:
    file, cut = content["file"], content["cut"]
    return State(file and File(**file), cut and Cut(*cut), content["ending"])
