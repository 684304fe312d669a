"""
The book of write keys: what a Secret keeps on a cluster issues the same keys as the affiliate's own
file does in embedded mode, whatever happens to them.
"""

import json
import sqlite3
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackmate.embedded import keybook as embedded
from trackmate_contract import keybook
from trackmate_contract.affiliate import Affiliate, Key
from trackmate_contract.keybook import GRACE_MS, Book, UnknownKey
from trackmate_contract.manifest import parse
from trackmate_contract.quantity import seconds
from trackmate_ingest import issued
from trackmate_ingest.keys import Use

NAMES = ["web", "server", "app"]
ROOT = b"root"
ID = "af-1042"

Step = tuple[str, Any]

specs = st.lists(st.sampled_from(NAMES), unique=True).map(sorted)
steps = st.one_of(
    st.tuples(st.just("follow"), specs),
    st.tuples(st.sampled_from(["rotate", "revoke", "create"]), st.sampled_from([*NAMES, "extra"])),
)


def keys_of(names: list[str]) -> tuple[Key, ...]:
    keys = [{"name": name, "use": "Server" if name == "server" else "Browser"} for name in names]
    found = parse(
        {
            "apiVersion": "trackmate.io/v1alpha1",
            "kind": "Affiliate",
            "metadata": {"name": "acme"},
            "spec": {"ingest": {"keys": keys}},
        }
    )
    assert isinstance(found, Affiliate)
    return found.spec.ingest.keys


def changed(book: Book, step: Step, now_ms: int) -> Book:
    what, about = step
    if what == "follow":
        return keybook.follow_spec(book, keys_of(about), now_ms=now_ms)
    if what == "rotate":
        return keybook.rotate(book, about, now_ms=now_ms, grace_ms=500)
    if what == "revoke":
        return keybook.revoke(book, about, now_ms=now_ms)
    return keybook.create(
        book, about, use="Server", origins=(), now_ms=now_ms, expires_ms=now_ms + 9
    )


def change_file(connection: sqlite3.Connection, step: Step, now_ms: int) -> None:
    what, about = step
    if what == "follow":
        embedded.follow_spec(connection, keys_of(about), now_ms=now_ms)
    elif what == "rotate":
        embedded.rotate(connection, about, now_ms=now_ms, grace_ms=500)
    elif what == "revoke":
        embedded.revoke(connection, about, now_ms=now_ms)
    else:
        ends = now_ms + 9
        embedded.create(
            connection, about, use=Use.SERVER, origins=(), now_ms=now_ms, expires_ms=ends
        )


@given(st.lists(steps, max_size=12))
def test_a_secret_and_a_file_issue_the_same_keys(taken: list[Step]) -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript(embedded.SCHEMA)
    embedded.identify(connection, ID)
    book: Book = ()
    spec: tuple[Key, ...] = ()
    for at, step in enumerate(taken):
        try:
            book = changed(book, step, at * 1000)
            refused = False
        except (UnknownKey, ValueError):
            refused = True
        try:
            change_file(connection, step, at * 1000)
        except (UnknownKey, ValueError):
            assert refused, step
        else:
            assert not refused, step
        if step[0] == "follow":
            spec = keys_of(step[1])
    ours = keybook.issued(book, spec, root=ROOT, affiliate_id=ID, given={})
    theirs = embedded.issued(connection, spec, root=ROOT, given={})
    connection.close()
    assert [(key["name"], key["key"], key["use"]) for key in ours] == [
        (key.name, key.value, key.use.value) for key in theirs
    ]
    read = issued.read(json.dumps(ours), spec)
    assert [key.expires_ms for key in read] == [key.expires_ms for key in theirs]


def test_a_grace_beyond_all_calendars_ends_with_them() -> None:
    """Else the operator would fail at the affiliate for ever."""
    made = keybook.follow_spec((), keys_of(["web"]), now_ms=0)
    book = keybook.rotate(made, "web", now_ms=0, grace_ms=seconds("999999999d") * 1000)

    old, new = keybook.issued(book, keys_of(["web"]), root=ROOT, affiliate_id=ID, given={})

    assert (old["expires"], new["expires"]) == ("9999-12-31T23:59:59.000Z", None)


@given(st.lists(steps, max_size=8))
def test_a_book_comes_back_from_its_secret_as_it_was(taken: list[Step]) -> None:
    book: Book = ()
    for at, step in enumerate(taken):
        try:
            book = changed(book, step, at)
        except (UnknownKey, ValueError):
            continue
    assert keybook.from_document(json.loads(json.dumps(keybook.to_document(book)))) == book


@pytest.mark.parametrize("document", [None, {}, "book", [1], [{"name": "web"}], [{"odd": 1}]])
def test_what_is_no_book_is_refused(document: object) -> None:
    with pytest.raises(ValueError, match="the book of keys"):
        keybook.from_document(document)


def test_following_the_same_spec_again_changes_nothing() -> None:
    book = keybook.follow_spec((), keys_of(["web"]), now_ms=0)
    assert keybook.follow_spec(book, keys_of(["web"]), now_ms=10**12) == book


def test_a_key_that_left_runs_out_once() -> None:
    book = keybook.follow_spec((), keys_of(["web"]), now_ms=0)
    left = keybook.follow_spec(book, keys_of(["app"]), now_ms=5)
    assert [one.expires_ms for one in left if one.name == "web"] == [5 + GRACE_MS]
    assert keybook.follow_spec(left, keys_of(["app"]), now_ms=10**9) == left


def test_a_key_from_a_secret_is_issued_once_its_value_is_there() -> None:
    [key] = keys_of(["web"])
    reference = {"secretKeyRef": {"name": "mine", "key": "value"}}
    given_key = key.model_validate(
        {"name": "web", "use": "Browser", "valueFrom": reference}, strict=False
    )
    book = keybook.follow_spec((), [given_key], now_ms=0)

    def issue(values: dict[str, str]) -> list[str]:
        found = keybook.issued(book, [given_key], root=ROOT, affiliate_id=ID, given=values)
        return [one["key"] for one in found]

    assert issue({}) == []
    assert issue({"web": "their own"}) == ["their own"]
