"""
An affiliate's write keys and identity, in its own file: what the operator keeps in a Secret, by the
rules of `trackmate_contract.keybook`.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from trackmate_contract.affiliate import Key
from trackmate_contract.keybook import GRACE_MS, UnknownKey, derive
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
    for key in keys:
        connection.execute(
            "INSERT INTO write_keys SELECT ?1, 1, '', '', 1, ?2, NULL, NULL "
            "WHERE NOT EXISTS (SELECT 1 FROM write_keys WHERE name = ?1)",
            (key.name, now_ms),
        )
        connection.execute(  # back in the spec: its newest value lives on
            "UPDATE write_keys SET expires_ms = NULL WHERE name = ?1 AND NOT in_spec "
            "AND generation = (SELECT max(generation) FROM write_keys WHERE name = ?1)",
            (key.name,),
        )
        connection.execute(
            "UPDATE write_keys SET use = ?, origins = ?, in_spec = 1 WHERE name = ?",
            (key.use, " ".join(key.origins), key.name),
        )
    known = connection.execute("SELECT DISTINCT name FROM write_keys WHERE in_spec").fetchall()
    for name in {name for (name,) in known} - {key.name for key in keys}:
        _expire(connection, name, at_ms=now_ms + GRACE_MS)
        connection.execute("UPDATE write_keys SET in_spec = 0 WHERE name = ?", (name,))


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
    if origins and use is Use.SERVER:
        raise ValueError("A server key has no origins. Leave them out, or make a browser key.")
    if _generation(connection, name):
        raise ValueError(f"A key {name!r} exists already. Rotate it, or choose another name.")
    connection.execute(
        "INSERT INTO write_keys VALUES (?, 1, ?, ?, 0, ?, ?, NULL)",
        (name, use.value, " ".join(origins), now_ms, expires_ms),
    )


def rotate(connection: sqlite3.Connection, name: str, *, now_ms: int, grace_ms: int) -> None:
    """Make a new value; the ones before it live on for the grace."""
    generation = _generation(connection, name)
    if not generation:
        raise UnknownKey(name)
    _expire(connection, name, at_ms=now_ms + grace_ms)
    connection.execute(
        "INSERT INTO write_keys SELECT name, generation + 1, use, origins, in_spec, ?, NULL, NULL "
        "FROM write_keys WHERE name = ? AND generation = ?",
        (now_ms, name, generation),
    )


def revoke(connection: sqlite3.Connection, name: str, *, now_ms: int) -> None:
    """End every value of the key at once. Rotating it makes a new one."""
    if not _generation(connection, name):
        raise UnknownKey(name)
    connection.execute(
        "UPDATE write_keys SET revoked_ms = ? WHERE name = ? AND revoked_ms IS NULL", (now_ms, name)
    )


def _expire(connection: sqlite3.Connection, name: str, *, at_ms: int) -> None:
    connection.execute(
        "UPDATE write_keys SET expires_ms = min(coalesce(expires_ms, ?1), ?1) WHERE name = ?2",
        (at_ms, name),
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
    rows = connection.execute(
        "SELECT name, generation, use, origins, created_ms, expires_ms FROM write_keys "
        "WHERE revoked_ms IS NULL ORDER BY name, generation"
    )
    return [
        _issue(
            by_name.get(name),
            IssuedKey(
                name,
                given.get(name) or derive(root, affiliate_id, name, generation),
                Use(use),
                tuple(origins.split()),
                created_ms,
                expires_ms,
            ),
        )
        for name, generation, use, origins, created_ms, expires_ms in rows
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


def _generation(connection: sqlite3.Connection, name: str) -> int:
    row = connection.execute(
        "SELECT max(generation) FROM write_keys WHERE name = ?", (name,)
    ).fetchone()
    return row[0] or 0
