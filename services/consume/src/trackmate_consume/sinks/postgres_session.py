"""
One connection to PostgreSQL and what is done on it: the table looked at or made, and batches
written, each in a transaction of its own.

A row is claimed by inserting it. Where its key is taken, what is there decides: the same record
again is written anew (a crash before its commit, or a replay), the same event from another record
is a duplicate, and another event under the id is written under a key of its own, a conflict.
"""

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

import asyncpg

from trackmate_consume.fingerprint import fingerprint
from trackmate_consume.ledger import Outcome
from trackmate_consume.sink import Down, Refused, Translated, Unfit
from trackmate_consume.sinks import postgres_table
from trackmate_consume.sinks.postgres_table import Column, Key, Row, Statements, Table

_TABLE = "spec.sink.postgres.table"
_MADE_MEANWHILE = {"23505", "42P07", "42710"}  # two that make one table at once
_NO_PRIVILEGE, _NO_SCHEMA = "42501", "3F000"
_IDLE_S = 60  # in a transaction, until the server gives up on us and frees the rows

_BEGIN = """
BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
SET LOCAL statement_timeout = {statement_ms};
SET LOCAL idle_in_transaction_session_timeout = '{idle_s}s';
SELECT set_config('synchronous_commit', 'local', true)
WHERE current_setting('synchronous_commit') = 'off';
"""  # with SET LOCAL nothing of ours stays behind in a pooler; what is settled must be on disk


class Session:
    """One connection, and the table as it was when the connection was made."""

    def __init__(
        self, connection: asyncpg.Connection, statements: Statements, *, statement_s: float
    ) -> None:
        self._connection = connection
        self._statements = statements
        self._begin = _BEGIN.format(statement_ms=int(statement_s * 1000), idle_s=_IDLE_S)

    @property
    def closed(self) -> bool:
        return bool(self._connection.is_closed())

    async def write(self, batch: Sequence[Translated]) -> list[Outcome]:
        """Raises asyncpg's errors, and Refused."""
        async with self._transaction():
            return await self._write(batch)

    async def close(self) -> None:
        with suppress(Exception):
            await self._connection.close(timeout=1)

    def terminate(self) -> None:
        """Close it without a word, whatever it is doing."""
        self._connection.terminate()

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[None]:
        await self._connection.execute(self._begin)
        try:
            yield
        except (asyncpg.PostgresError, Refused):
            if not self.closed:
                await self._connection.execute("ROLLBACK")
            raise
        await self._connection.execute("COMMIT")

    async def _write(self, batch: Sequence[Translated]) -> list[Outcome]:
        outcomes: dict[int, Outcome] = {}
        waiting = [_candidate(index, translated) for index, translated in enumerate(batch)]
        while waiting:
            turn, waiting = _first_of_each(waiting)
            claimed = await self._claim(turn)
            outcomes |= {one.at: one.outcome for one in turn if one.key in claimed}
            taken = [one for one in turn if one.key not in claimed]
            if taken:
                waiting += await self._judge(taken, outcomes)
        return [outcomes[index] for index in range(len(batch))]

    async def _claim(self, turn: Sequence["_Candidate"]) -> set[Key]:
        """Insert the events whose key is free; return their keys."""
        firsts = [next(one.rows()) for one in turn]
        returned = await self._connection.fetch(self._statements.claim, *_in_columns(firsts))
        claimed = {(row[0], row[1], row[2]) for row in returned}
        further = [row for one in turn if one.key in claimed for row in one.rows() if row.part]
        if further:
            await self._connection.execute(self._statements.put, *_in_columns(further))
        return claimed

    async def _judge(
        self, taken: Sequence["_Candidate"], outcomes: dict[int, Outcome]
    ) -> list["_Candidate"]:
        """Settle the events whose key is taken; return those that need another key."""
        kept = await self._kept([one.key for one in taken])
        again, others = [], []
        for one in taken:
            there = kept.get(one.key)
            if there is None:
                raise Refused(
                    f"the row of {one.key[0]!r} is neither inserted nor there: a trigger, a rule "
                    "or a policy of the table keeps it away"
                )
            same = there.fingerprint == one.fingerprint
            if same and there.place == one.place:  # in a log that was begun anew, another's place
                again.append(one)
                outcomes[one.at] = one.outcome
            elif one.conflict or same:
                outcomes[one.at] = Outcome.DUPLICATE
            else:
                others.append(one._replace(conflict=one.fingerprint.hex()[:32]))
        if again:
            await self._put(again)
        return others

    async def _kept(self, keys: Iterable[Key]) -> dict[Key, "_Kept"]:
        rows = await self._connection.fetch(self._statements.find, *_columns(sorted(keys)))
        return {(row[0], row[1], row[2]): _Kept((row[3], row[4]), row[5]) for row in rows}

    async def _put(self, again: Sequence["_Candidate"]) -> None:
        """Write events anew, with the documents that they have now."""
        rows = [row for one in again for row in one.rows()]
        await self._connection.execute(self._statements.put, *_in_columns(rows))
        parts = sorted((*one.key, len(one.translated.documents)) for one in again)
        await self._connection.execute(self._statements.trim, *_columns(parts))


class _Kept(NamedTuple):
    """What is there under a key."""

    place: tuple[int, int]
    fingerprint: bytes


class _Candidate(NamedTuple):
    """An event on its way into the table."""

    at: int
    """In the batch."""
    translated: Translated
    fingerprint: bytes
    conflict: str = ""
    """Its own key, where another event has the id already."""

    @property
    def key(self) -> Key:
        record = self.translated.record
        return record.id, record.stream, self.conflict

    @property
    def place(self) -> tuple[int, int]:
        record = self.translated.record
        return record.partition, record.offset

    @property
    def outcome(self) -> Outcome:
        """Once it is written."""
        return Outcome.CONFLICT if self.conflict else Outcome.DELIVERED

    def rows(self) -> Iterator[Row]:
        """One a document."""
        record = self.translated.record
        for part, document in enumerate(self.translated.documents):
            yield Row(
                record.id,
                part,
                record.stream,
                self.conflict,
                record.partition,
                record.offset,
                record.stamp.received_ms,
                self.fingerprint,
                document.head + b"\r\n" + document.value if document.head else document.value,
            )


def _candidate(index: int, translated: Translated) -> _Candidate:
    record = translated.record
    segment = record.stamp.type is not None
    return _Candidate(index, translated, fingerprint(record.value, segment=segment))


def _first_of_each(
    waiting: Sequence[_Candidate],
) -> tuple[list[_Candidate], list[_Candidate]]:
    """The first of each key, and the others: a statement can write a row once."""
    firsts: dict[Key, _Candidate] = {}
    others = [one for one in waiting if firsts.setdefault(one.key, one) is not one]
    return list(firsts.values()), others


def _in_columns(rows: Iterable[Row]) -> list[list[Any]]:
    """Sorted: two writers that lock the same rows in one order wait and do not deadlock."""
    return _columns(sorted(rows, key=lambda row: row[:4]))


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


async def session(
    connection: asyncpg.Connection, table: str, *, as_json: bool, statement_s: float
) -> Session:
    """
    Make the table if it is not there. Nothing is changed about one that is, and no lock taken.
    Raises Unfit, Down and asyncpg's errors.
    """
    try:
        found = await _look(connection, table) or await _made(connection, table, as_json=as_json)
    except asyncpg.PostgresError as fault:
        if fault.sqlstate not in {_NO_PRIVILEGE, _NO_SCHEMA}:
            raise
        raise Unfit(_TABLE, _not_made(table, fault.sqlstate)) from None
    faults = list(postgres_table.misfits(found, as_json=as_json))
    if faults:
        raise Unfit(
            _TABLE,
            f"the table {table!r} {'; and it '.join(faults)}. Or name a table that is not there "
            "yet, and it is made",
        )
    statements = Statements(table, found.columns["document"].type)
    return Session(connection, statements, statement_s=statement_s)


def _not_made(table: str, sqlstate: str) -> str:
    schema = table.rpartition(".")[0] or "public"
    if sqlstate == _NO_SCHEMA:
        return f"the table {table!r} cannot be made, as there is no schema for it; CREATE SCHEMA"
    return (
        f"the role may not use the schema of the table {table!r}, or not make a table in it; "
        f"GRANT USAGE, CREATE ON SCHEMA {schema}, or make the table yourself"
    )


async def _made(connection: asyncpg.Connection, table: str, *, as_json: bool) -> Table:
    try:
        await connection.execute(postgres_table.making(table, as_json=as_json))
    except asyncpg.PostgresError as fault:
        if fault.sqlstate not in _MADE_MEANWHILE:
            raise
    found = await _look(connection, table)
    if found is None:
        raise Unfit(_TABLE, f"the table {table!r} is made and not found; write its schema too")
    return found


async def _look(connection: asyncpg.Connection, table: str) -> Table | None:
    if await connection.fetchval("SELECT pg_catalog.pg_is_in_recovery()"):
        raise Down("it is a standby, which only reads; name the primary too")
    row = await connection.fetchrow(postgres_table.LOOK, postgres_table.quoted(table))
    if row is None:
        return None
    columns = await connection.fetch(postgres_table.LOOK_AT_COLUMNS, row["oid"])
    keys = await connection.fetch(postgres_table.LOOK_AT_KEYS, row["oid"])
    return Table(
        row["kind"],
        {found["name"]: _column(found) for found in columns},
        [frozenset(key["columns"]) for key in keys],
        [name for name in postgres_table.PRIVILEGES if not row[f"{name.lower()}_too"]],
    )


def _column(found: Mapping[str, Any]) -> Column:
    return Column(found["type"], needed=found["needed"], made=found["made"])
