"""
Which documents go into which file: a new one begins where the head changes, and between two events
once the file has its size.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from itertools import groupby
from typing import NamedTuple

from trackmate_consume.sink import Document, Translated
from trackmate_consume.sinks.journal import Cut, File, Range, ranges_of

Line = Callable[[Document], bytes]
"""A document as a line, without the newline."""


class Piece(NamedTuple):
    """The documents of one event that go into one file: all, where their heads are alike."""

    offset: int
    head: bytes
    lines: bytes
    cut: Cut | None
    """Where the event has more."""


class Chunk(NamedTuple):
    """What is added to a file at once; there is at least one piece."""

    pieces: Sequence[Piece]

    @property
    def head(self) -> bytes:
        return self.pieces[0].head

    @property
    def lines(self) -> bytes:
        return b"".join([piece.lines for piece in self.pieces])

    @property
    def first(self) -> int:
        return min([piece.offset for piece in self.pieces])

    @property
    def last(self) -> int:
        return max([piece.offset for piece in self.pieces])

    @property
    def written(self) -> list[Range]:
        """The events that are whole with it."""
        return ranges_of([piece.offset for piece in self.pieces if piece.cut is None])

    @property
    def cut(self) -> Cut | None:
        return self.pieces[-1].cut


def pieces(events: Iterable[Translated], line: Line, begun: Cut | None) -> Iterator[Piece]:
    """What is to be written of the events. Of the one that is `begun`, the rest."""
    for record, documents in events:
        offset = record.offset
        if len(documents) == 1 and begun is None:
            [document] = documents
            yield Piece(offset, document.head, line(document) + b"\n", None)
        else:
            done = begun.documents if begun and begun.offset == offset else 0
            yield from _parts(offset, documents, line, done)


def _parts(offset: int, documents: Sequence[Document], line: Line, done: int) -> Iterator[Piece]:
    """Of one event, behind so many documents that are written: one where the heads are alike."""
    for head, group in groupby(documents[done:], key=lambda document: document.head):
        alike = list(group)
        done += len(alike)
        lines = b"".join([line(document) + b"\n" for document in alike])
        more = done < len(documents)
        yield Piece(offset, head, lines, Cut(offset, done) if more else None)


def chunks(todo: Iterable[Piece], file: File | None, *, most: int) -> Iterator[Chunk]:
    """
    As few as can be: each but the first begins a file. The first is for the open file, where that
    has its head and fewer than `most` bytes.
    """
    gathered: list[Piece] = []
    size = file.length if file else 0
    for piece in todo:
        if gathered and (piece.head != gathered[0].head or size >= most):
            yield Chunk(gathered)
            gathered = []
        if not gathered and not (file and takes(file, piece.head, most=most)):
            size = 0
        file = None
        gathered.append(piece)
        size += len(piece.lines)
    if gathered:
        yield Chunk(gathered)


def takes(file: File, head: bytes, *, most: int) -> bool:
    """Whether more may be added to a file."""
    return file.head == digest(head) and file.length < most


def digest(head: bytes) -> str:
    return sha256(head).hexdigest()[:16] if head else ""
