"""
Write keys in an affiliate's file: the same root makes the same keys, two values live through a
rotation, and what leaves the spec runs out.
"""

import sqlite3
from collections.abc import Iterator

import pytest

from trackmate.embedded import keybook
from trackmate.embedded.keybook import IssuedKey
from trackmate_contract.affiliate import Key
from trackmate_contract.keybook import GRACE_MS, UnknownKey
from trackmate_contract.manifest import parse
from trackmate_ingest.keys import Use


def spec(*keys: str) -> tuple[Key, ...]:
    manifest = {
        "apiVersion": "trackmate.io/v1alpha1",
        "kind": "Affiliate",
        "metadata": {"name": "acme"},
        "spec": {"ingest": {"keys": [{"name": name, "use": "Browser"} for name in keys]}},
    }
    return parse(manifest).spec.ingest.keys  # type: ignore[union-attr]


WEB = spec("web")


def open_book(affiliate_id: str = "af-1") -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript(keybook.SCHEMA)
    keybook.identify(connection, affiliate_id)
    return connection


@pytest.fixture
def book() -> Iterator[sqlite3.Connection]:
    connection = open_book()
    keybook.follow_spec(connection, WEB, now_ms=0)
    yield connection
    connection.close()


def issued(connection: sqlite3.Connection, keys: tuple[Key, ...] = WEB) -> list[IssuedKey]:
    return keybook.issued(connection, keys, root=b"root", given={})


def test_the_same_root_id_and_name_make_the_same_key(book: sqlite3.Connection) -> None:
    elsewhere = open_book()
    keybook.follow_spec(elsewhere, WEB, now_ms=99)
    other = open_book("af-2")
    keybook.follow_spec(other, WEB, now_ms=0)

    assert issued(elsewhere)[0].value == issued(book)[0].value
    assert issued(other)[0].value != issued(book)[0].value
    elsewhere.close()
    other.close()


def test_following_the_same_spec_again_changes_nothing(book: sqlite3.Connection) -> None:
    before = issued(book)
    keybook.follow_spec(book, WEB, now_ms=10**12)
    assert issued(book) == before


def test_a_rotation_leaves_the_old_value_its_grace(book: sqlite3.Connection) -> None:
    [old] = issued(book)
    keybook.rotate(book, "web", now_ms=100, grace_ms=50)

    [kept, new] = issued(book)
    assert (kept.value, kept.expires_ms) == (old.value, 150)
    assert new.value != old.value
    assert (new.created_ms, new.expires_ms, new.use) == (100, None, Use.BROWSER)


def test_a_second_rotation_does_not_lengthen_the_first_grace(book: sqlite3.Connection) -> None:
    keybook.rotate(book, "web", now_ms=0, grace_ms=10)
    keybook.rotate(book, "web", now_ms=5, grace_ms=1000)
    assert [key.expires_ms for key in issued(book)] == [10, 1005, None]


def test_a_key_that_leaves_the_spec_runs_out_and_lives_on_when_it_returns(
    book: sqlite3.Connection,
) -> None:
    [key] = issued(book)
    keybook.follow_spec(book, spec("other"), now_ms=1000)
    left = next(key for key in issued(book, spec("other")) if key.name == "web")
    assert (left.expires_ms, left.use) == (1000 + GRACE_MS, Use.BROWSER)

    keybook.follow_spec(book, WEB, now_ms=2000)
    back = next(key for key in issued(book) if key.name == "web")
    assert (back.value, back.expires_ms) == (key.value, None)


def test_a_revoked_key_is_gone_and_a_rotation_makes_a_new_one(book: sqlite3.Connection) -> None:
    [old] = issued(book)
    keybook.revoke(book, "web", now_ms=1)
    keybook.follow_spec(book, WEB, now_ms=2)
    assert issued(book) == []

    keybook.rotate(book, "web", now_ms=3, grace_ms=0)
    assert [key.value == old.value for key in issued(book)] == [False]


def test_a_name_that_no_key_has_is_refused(book: sqlite3.Connection) -> None:
    with pytest.raises(UnknownKey, match="No key 'nope'"):
        keybook.rotate(book, "nope", now_ms=0, grace_ms=0)
    with pytest.raises(UnknownKey):
        keybook.revoke(book, "nope", now_ms=0)


def test_a_value_does_not_show_in_a_repr(book: sqlite3.Connection) -> None:
    [key] = issued(book)
    assert key.value not in repr(key)
    assert key.value not in repr(key.open())


def test_the_first_id_of_a_file_stays(book: sqlite3.Connection) -> None:
    assert keybook.identify(book, "af-9") == "af-1"
