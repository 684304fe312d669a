"""
The table of the sink `postgres`: its columns, the statements about it, and whether one that is
there already will do.

A row is a document. Which event it is of is `id`, `stream` and `conflict`, which is empty but for
another event under an id that was taken; which of its documents, `part`.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

_TEXT = ("text", "character varying")
_KEY = ("id", "stream", "part", "conflict")

_COLUMNS = {
    "id": _TEXT,
    "part": ("integer", "bigint"),
    "stream": _TEXT,
    "conflict": _TEXT,
    "partition": ("integer", "bigint"),
    "offset": ("bigint",),
    "received": ("timestamp with time zone",),
    "fingerprint": ("bytea",),
    "document": ("jsonb", "json", "text", "character varying", "bytea"),
}
"""Their types: the first is what a new table gets."""

_TEXT_DOCUMENT = ("text", "character varying", "bytea")
"""Where the format is not JSON."""

_GIVEN = {
    "id": "text",
    "part": "bigint",
    "stream": "text",
    "conflict": "text",
    "partition": "bigint",
    "offset": "bigint",
    "received": "bigint",
    "fingerprint": "bytea",
    "document": "bytea",
}
"""As what each column's values are sent."""

_DECODED = "convert_from(given.document, 'UTF8')"
_STORED = {"jsonb": f"{_DECODED}::jsonb", "json": f"{_DECODED}::json", "bytea": "given.document"}
_RECEIVED = "'epoch'::timestamptz + given.received * interval '1 millisecond'"

PRIVILEGES = ("SELECT", "INSERT", "UPDATE", "DELETE")

_LENGTH = re.compile(r"\([0-9,]+\)")

Key = tuple[str, str, str]
"""Of an event: `id`, `stream` and `conflict`."""


class Row(NamedTuple):
    """One row, in the order of the columns."""

    id: str
    part: int
    stream: str
    conflict: str
    partition: int
    offset: int
    received_ms: int
    fingerprint: bytes
    document: bytes


class Column(NamedTuple):
    """A column that is there."""

    type: str
    """As `format_type` says it."""
    needed: bool
    """Whether an insert must give it a value: it has no default and may not be null."""
    made: bool
    """Whether it is generated, and no insert may give it a value."""


class Table(NamedTuple):
    """A table as it is."""

    kind: str
    """`pg_class.relkind`."""
    columns: Mapping[str, Column]
    keys: Collection[frozenset[str]]
    """The columns of each unique index that can decide what a repeat is."""
    lacking: Sequence[str]
    """Privileges that the role does not have."""


def misfits(table: Table, *, as_json: bool) -> Iterator[str]:
    """
    What is not as it must be, a clause each.

    >>> column = Column("text", needed=True, made=False)
    >>> list(misfits(Table("r", {"id": column}, [], []), as_json=True))[0]
    "has no column 'part'; it is needed as integer"
    """
    if table.kind not in {"r", "p"}:
        yield "is no table"
        return
    yield from _misfitting_columns(table, _types(as_json=as_json))
    if frozenset(_KEY) not in table.keys:
        yield f"has no unique key of just {', '.join(_KEY)}; add one"
    if table.lacking:
        yield f"does not let the role {', '.join(table.lacking)}; grant it"


def _misfitting_columns(table: Table, needed: Mapping[str, Sequence[str]]) -> Iterator[str]:
    for name, types in needed.items():
        column = table.columns.get(name)
        if column is None:
            yield f"has no column {name!r}; it is needed as {types[0]}"
        elif _plain(column.type) not in types:
            yield f"has the column {name!r} as {column.type}; it is needed as {' or '.join(types)}"
        elif column.made:
            yield f"has the column {name!r} generated; it must be a plain one"
    for name, column in table.columns.items():
        if name not in needed and column.needed:
            yield f"has the column {name!r} that wants a value; give it a default or allow null"


def _types(*, as_json: bool) -> dict[str, tuple[str, ...]]:
    return _COLUMNS if as_json else _COLUMNS | {"document": _TEXT_DOCUMENT}


def _plain(form: str) -> str:
    """
    Without its length.

    >>> _plain("character varying(40)"), _plain("timestamp(3) with time zone")
    ('character varying', 'timestamp with time zone')
    """
    return _LENGTH.sub("", form)


class Statements:
    """The statements about one table, by its name as the manifest has it."""

    def __init__(self, table: str, document_type: str) -> None:
        name = quoted(table)
        columns = ", ".join(f'"{column}"' for column in _COLUMNS)
        stored = [f'given."{column}"' for column in _COLUMNS]
        stored[-1] = _STORED.get(_plain(document_type), _DECODED)
        stored[list(_COLUMNS).index("received")] = _RECEIVED
        given = ", ".join(f"${n}::{form}[]" for n, form in enumerate(_GIVEN.values(), 1))
        insert = (
            f"INSERT INTO {name} AS kept ({columns}) SELECT {', '.join(stored)} "
            f"FROM unnest({given}) AS given ({columns}) ON CONFLICT ({', '.join(_KEY)})"
        )
        anew = [f'"{column}" = excluded."{column}"' for column in _COLUMNS if column not in _KEY]
        same = (
            "kept.id = given.id AND kept.stream = given.stream AND kept.conflict = given.conflict"
        )
        keys = "unnest($1::text[], $2::text[], $3::text[]{}) AS given (id, stream, conflict{})"

        self.claim = f"{insert} DO NOTHING RETURNING kept.id, kept.stream, kept.conflict"
        """Insert the rows whose key is free, and say which."""
        self.put = f"{insert} DO UPDATE SET {', '.join(anew)}"
        """Write the rows, whether they are there or not."""
        self.find = (
            'SELECT kept.id, kept.stream, kept.conflict, kept.partition, kept."offset", '
            f"kept.fingerprint FROM {name} AS kept JOIN {keys.format('', '')} ON {same} "
            "WHERE kept.part = 0"
        )
        """What is there under keys."""
        self.trim = (
            f"DELETE FROM {name} AS kept USING {keys.format(', $4::bigint[]', ', parts')} "
            f"WHERE {same} AND kept.part >= given.parts"
        )
        """Remove what an event has more than so many documents."""


def making(table: str, *, as_json: bool) -> str:
    """The statement that makes the table."""
    types = _types(as_json=as_json)
    columns = ", ".join(f'"{name}" {types[name][0]} NOT NULL' for name in _COLUMNS)
    return (
        f"CREATE TABLE IF NOT EXISTS {quoted(table)} ({columns}, PRIMARY KEY ({', '.join(_KEY)}))"
    )


def quoted(table: str) -> str:
    """
    >>> quoted("web.order")
    '"web"."order"'
    """
    return ".".join(f'"{part}"' for part in table.split("."))


LOOK = f"""
SELECT c.oid, c.relkind::text AS kind, {
    ", ".join(
        f"has_table_privilege(c.oid, '{privilege}') AS {privilege.lower()}_too"
        for privilege in PRIVILEGES
    )
} FROM pg_catalog.pg_class AS c WHERE c.oid = pg_catalog.to_regclass($1)
"""
"""The table, and what the role may do to it; no row where there is none."""

LOOK_AT_COLUMNS = """
SELECT a.attname AS name, pg_catalog.format_type(a.atttypid, a.atttypmod) AS type,
    a.attnotnull AND NOT a.atthasdef AND a.attidentity = '' AS needed,
    a.attgenerated <> '' OR a.attidentity = 'a' AS made
FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
"""

LOOK_AT_KEYS = """
SELECT ARRAY(
    SELECT a.attname::text FROM pg_catalog.pg_attribute AS a
    WHERE a.attrelid = i.indrelid AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])
) AS columns
FROM pg_catalog.pg_index AS i WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid
    AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL
"""
