"""
Figures over the embedded store. The facts of documents are kept in blocks of columns beside them,
so that a question reads a few numbers an event and no document; what came since the last block is
read when somebody asks. So an event is in the figures as soon as it is in the store, and costs no
write of its own.
"""

import asyncio
import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import NamedTuple

import numpy as np

from trackmate.embedded.database import Database, Unwritten
from trackmate.insights import counting
from trackmate.insights.asking import Counted, Of, Ranked, Scope, Step, Totals
from trackmate.insights.columns import BYTES, NAMES, Columns, Growing
from trackmate.insights.facts import fact_of

SCHEMA = f"""
CREATE TABLE IF NOT EXISTS fact_blocks (
    last INTEGER PRIMARY KEY,       -- the seq of its last document; blocks follow each other
    first_ms INTEGER NOT NULL,      -- its earliest event
    last_ms INTEGER NOT NULL,       -- and its latest
    {", ".join(f"{name} BLOB NOT NULL" for name in NAMES)}
);
CREATE TABLE IF NOT EXISTS fact_labels (
    number INTEGER PRIMARY KEY,
    text BLOB NOT NULL
);
"""

_log = logging.getLogger("trackmate.embedded")

_ROWS = 8192  # of a block
_TURN = 128  # documents read before others get their turn
_EVERY_S = 2.0


class Block(NamedTuple):
    """Facts to be kept, and the texts of their labels."""

    last: int
    columns: Columns
    labels: dict[int, str]


def keep(connection: sqlite3.Connection, blocks: Sequence[Block]) -> list[None]:
    marks = ", ".join("?" * len(NAMES))
    for last, columns, labels in blocks:
        at = columns["at"]
        connection.execute(
            f"INSERT OR IGNORE INTO fact_blocks VALUES (?, ?, ?, {marks})",
            (
                *(last, int(at.min()), int(at.max())),
                *(columns[name].astype(BYTES).tobytes() for name in NAMES),
            ),
        )
        connection.executemany(
            "INSERT OR IGNORE INTO fact_labels VALUES (?, ?)",
            [(number, text.encode("utf-8", "surrogatepass")) for number, text in labels.items()],
        )
    return [None] * len(blocks)


class _Tail:
    """The facts of the documents behind the last block."""

    def __init__(self, last: int = 0) -> None:
        self._begin(last)

    def _begin(self, last: int) -> None:
        self.last = last  # the seq of the last document in it
        self._seqs: list[int] = []
        self.rows = Growing()

    def follow(self, reader: sqlite3.Connection) -> None:
        """Be what is behind the last block of the reader's snapshot."""
        kept = reader.execute("SELECT coalesce(max(last), 0) FROM fact_blocks").fetchone()[0]
        if kept > self.last:
            self._begin(kept)
        elif self._seqs and kept >= self._seqs[0]:
            gone = int(np.searchsorted(self._seqs, kept, side="right"))
            self.rows.drop(gone)
            del self._seqs[:gone]
        self.read(reader)

    def read(self, reader: sqlite3.Connection, *, most: float = inf) -> None:
        """Read on, until there are so many or no more."""
        while len(self._seqs) < most and self._read_on(reader):
            time.sleep(0)  # the event loop gets its turn

    def _read_on(self, reader: sqlite3.Connection) -> bool:
        found = reader.execute(
            "SELECT seq, value FROM documents WHERE seq > ? ORDER BY seq LIMIT ?",
            (self.last, _TURN),
        ).fetchall()
        self.rows.add([fact_of(value) for _, value in found])
        self._seqs += [seq for seq, _ in found]
        self.last = self._seqs[-1] if found else self.last
        return len(found) == _TURN

    def block(self, rows: int) -> Block | None:
        """The first rows, where there are so many."""
        if len(self._seqs) < rows:
            return None
        return Block(self._seqs[rows - 1], self.rows.part(0, rows), dict(self.rows.labels))


@dataclass(frozen=True)
class _Snapshot:
    """What is in the store at one moment."""

    reader: sqlite3.Connection
    tail: Columns
    labels: Mapping[int, str]

    def columns(self, scope: Scope, *names: str) -> Columns:
        """These columns of the events of the scope."""
        wanted = sorted({"at", *names} | counting.needed(scope))
        parts = [*self._blocks(scope, wanted), self.tail]
        inside = [counting.inside({name: part[name] for name in wanted}, scope) for part in parts]
        return {name: np.concatenate([part[name] for part in inside]) for name in wanted}

    def _blocks(self, scope: Scope, names: Iterable[str]) -> Iterator[Columns]:
        rows = self.reader.execute(
            f"SELECT {', '.join(names)} FROM fact_blocks "
            "WHERE last_ms >= ? AND first_ms < ? ORDER BY last",
            (scope.since_ms, scope.until_ms),
        )
        for row in rows:
            columns = [np.frombuffer(blob, dtype=BYTES) for blob in row]
            yield dict(zip(names, columns, strict=True))

    def label(self, number: int) -> str:
        """The text of a label."""
        if number in self.labels:
            return self.labels[number]
        row = self.reader.execute(
            "SELECT text FROM fact_labels WHERE number = ?", (number,)
        ).fetchone()
        kept: bytes = row[0]
        return kept.decode("utf-8", "surrogatepass")


class EmbeddedInsights:
    """The figures of one affiliate. Keeps trackmate.insights.asking.Insights."""

    def __init__(self, database: Database, *, rows: int = _ROWS) -> None:
        self._database = database
        self._rows = rows
        self._tail = _Tail()
        self._turn = threading.Lock()

    async def totals(self, scope: Scope) -> Totals:
        return await asyncio.to_thread(self._totals, scope)

    async def over_time(self, scope: Scope, edges: Sequence[int]) -> list[Counted]:
        return await asyncio.to_thread(self._over_time, scope, edges)

    async def top(self, scope: Scope, of: Of, most: int) -> list[Ranked]:
        return await asyncio.to_thread(self._top, scope, of, most)

    async def funnel(self, scope: Scope, steps: Sequence[str], within_ms: int) -> list[Step]:
        return await asyncio.to_thread(self._funnel, scope, steps, within_ms)

    async def keep_on(self) -> None:
        """Make blocks of what is stored, until cancelled."""
        fault = ""
        while True:
            before, fault = fault, ""
            try:
                await self.keep_all()
            except Unwritten:
                pass  # said by the database; tried again
            except Exception as unread:  # noqa: BLE001 - no fault may end it
                fault = str(unread) or type(unread).__name__
                if fault != before:  # said once and not each time
                    fields = {"file": self._database.path.name, "error": fault}
                    _log.exception("figures cannot be kept", extra={"fields": fields})
            await asyncio.sleep(_EVERY_S)

    async def keep_all(self) -> None:
        """Make as many blocks as there are documents for."""
        while block := await asyncio.to_thread(self._next_block):
            await self._database.submit(keep, block)

    def _totals(self, scope: Scope) -> Totals:
        with self._now() as now:
            return counting.totals(now.columns(scope, "person", "view"))

    def _over_time(self, scope: Scope, edges: Sequence[int]) -> list[Counted]:
        with self._now() as now:
            return counting.over_time(now.columns(scope, "person"), edges)

    def _top(self, scope: Scope, of: Of, most: int) -> list[Ranked]:
        label = ("page", "view") if of is Of.PAGES else ("name",)
        with self._now() as now:
            found = counting.top(now.columns(scope, "person", *label), of, most)
            named = [Ranked(now.label(label), events, people) for label, events, people in found]
        return sorted(named, key=lambda ranked: (-ranked.events, ranked.name))

    def _funnel(self, scope: Scope, steps: Sequence[str], within_ms: int) -> list[Step]:
        with self._now() as now:
            return counting.funnel(now.columns(scope, "name", "person"), steps, within_ms)

    def _next_block(self) -> Block | None:
        """Read for itself: those who ask do not wait, and what nobody asks for is not held."""
        with contextlib.closing(self._database.reader()) as reader:
            stored, kept = reader.execute(
                "SELECT (SELECT coalesce(max(seq), 0) FROM documents), "
                "(SELECT coalesce(max(last), 0) FROM fact_blocks)"
            ).fetchone()
            if stored - kept < self._rows:  # mostly there are not enough
                return None
            next_ones = _Tail(kept)
            next_ones.read(reader, most=self._rows)
        return next_ones.block(self._rows)

    @contextlib.contextmanager
    def _now(self) -> Iterator[_Snapshot]:
        """What is in the store now, for as long as the block runs."""
        with contextlib.closing(self._database.reader()) as reader:
            reader.execute("BEGIN")
            with self._turn:
                self._tail.follow(reader)
                now = _Snapshot(reader, self._tail.rows.part(0), self._tail.rows.labels)
            yield now
