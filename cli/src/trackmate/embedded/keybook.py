"""
An affiliate's write keys and identity, in its own file: what the operator keeps in a Secret, by the
rules of `trackmate_contract.keybook`.
"""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from trackmate_contract import keybook
from trackmate_contract.affiliate import Key
from trackmate_contract.keybook import Book, Generation, derive
from trackmate_contract.quantity import epoch_ms
from trackmate_ingest.keys import Use, WriteKey

SCHEMA = """
CREATE TABLE IF NOT EXISTS identity (one INTEGER PRIMARY KEY CHECK (one = 1), id TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS write_keys (
    name TEXT NOT NULL,
    generation INTEGER NOT NULL,
    use TEXT NOT NULL,
    origins TEXT NOT NULL,      -- separated by spaces
    in_spec INTEGER NOT NULL,   -- 0: made by command, or left the spec
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER,
    revoked_ms INTEGER,
    PRIMARY KEY (name, generation)
) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A write key as `trackmate keys list` shows it."""

    name: str
    value: str = field(repr=False)
    use: Use
    origins: tuple[str, ...]
    created_ms: int
    expires_ms: int | None
    requests_per_second: float | None = None
    bytes_per_second: float | None = None

    def open(self) -> WriteKey:
        """For ingest."""
        return WriteKey(
            self.name,
            self.value,
            self.use,
            frozenset(self.origins),
            self.expires_ms,
            self.requests_per_second,
            self.bytes_per_second,
        )


def identify(connection: sqlite3.Connection, offered: str) -> str:
    """The affiliate's id: what the file knows, else the one offered, which it then keeps."""
    connection.execute("INSERT OR IGNORE INTO identity VALUES (1, ?)", (offered,))
    found: str = connection.execute("SELECT id FROM identity").fetchone()[0]
    return found


def follow_spec(connection: sqlite3.Connection, keys: Sequence[Key], *, now_ms: int) -> None:
    """Give each key of the spec a first value, and let those that left it run out."""
    _change(connection, lambda book: keybook.follow_spec(book, keys, now_ms=now_ms))


def create(
    connection: sqlite3.Connection,
    name: str,
    *,
    use: Use,
    origins: Sequence[str],
    now_ms: int,
    expires_ms: int | None,
) -> None:
    """Add a key beside those of the spec. Raises ValueError where it cannot be."""

    def created(book: Book) -> Book:
        return keybook.create(
            book, name, use=use.value, origins=origins, now_ms=now_ms, expires_ms=expires_ms
        )

    _change(connection, created)


def rotate(connection: sqlite3.Connection, name: str, *, now_ms: int, grace_ms: int) -> None:
    """Make a new value; the ones before it live on for the grace. Raises UnknownKey."""
    _change(connection, lambda book: keybook.rotate(book, name, now_ms=now_ms, grace_ms=grace_ms))


def revoke(connection: sqlite3.Connection, name: str, *, now_ms: int) -> None:
    """End every value of the key at once. Rotating it makes a new one. Raises UnknownKey."""
    _change(connection, lambda book: keybook.revoke(book, name, now_ms=now_ms))


def _change(connection: sqlite3.Connection, change: Callable[[Book], Book]) -> None:
    before = _book(connection)
    known = set(before)
    connection.executemany(
        "INSERT OR REPLACE INTO write_keys VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                *(one.name, one.number, one.use, " ".join(one.origins), one.in_spec),
                *(one.created_ms, one.expires_ms, one.revoked_ms),
            )
            for one in change(before)
            if one not in known
        ],
    )


def _book(connection: sqlite3.Connection) -> Book:
    rows = connection.execute(
        "SELECT name, generation, use, origins, created_ms, in_spec, expires_ms, revoked_ms "
        "FROM write_keys ORDER BY name, generation"
    )
    return tuple(
        Generation(name, number, use, tuple(origins.split()), created, bool(in_spec), *ends)
        for name, number, use, origins, created, in_spec, *ends in rows
    )


def issued(
    connection: sqlite3.Connection, spec: Sequence[Key], *, root: bytes, given: dict[str, str]
) -> list[IssuedKey]:
    """
    Every key that is not revoked, the expired included: a refusal can then say why.

    `given` holds the values of spec keys that came from a Secret, by the key's name.
    """
    affiliate_id = connection.execute("SELECT id FROM identity").fetchone()[0]
    by_name = {key.name: key for key in spec}
    return [
        _issue(
            by_name.get(one.name),
            IssuedKey(
                one.name,
                given.get(one.name) or derive(root, affiliate_id, one.name, one.number),
                Use(one.use),
                one.origins,
                one.created_ms,
                one.expires_ms,
            ),
        )
        for one in _book(connection)
        if one.revoked_ms is None
    ]


def _issue(key: Key | None, stored: IssuedKey) -> IssuedKey:
    """What the spec says now of a key, over what is stored."""
    if key is None:
        return stored
    ends = [at for at in (stored.expires_ms, _epoch_ms(key.expires)) if at is not None]
    return replace(
        stored,
        expires_ms=min(ends, default=None),
        requests_per_second=key.limits.requests_per_second,
        bytes_per_second=key.limits.bytes_per_second,
    )


def _epoch_ms(moment: datetime | None) -> int | None:
    return epoch_ms(moment) if moment else None
