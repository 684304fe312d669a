"""
The stand-in for Couchbase, as the real Python SDK sees it: what it lets in, keeps and refuses, and
that each of its faults bites.
"""

import secrets
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import trustme
from couchbase.auth import PasswordAuthenticator
from couchbase.cluster import Cluster
from couchbase.collection import Collection
from couchbase.durability import DurabilityLevel, ServerDurability
from couchbase.exceptions import (
    AmbiguousTimeoutException,
    AuthenticationException,
    BucketNotFoundException,
    CouchbaseException,
    DocumentExistsException,
    DocumentNotFoundException,
    DurabilityImpossibleException,
    DurabilitySyncWriteAmbiguousException,
    RequestCanceledException,
    ScopeNotFoundException,
    TemporaryFailException,
    UnAmbiguousTimeoutException,
)
from couchbase.options import (
    ClusterOptions,
    ClusterTimeoutOptions,
    GetOptions,
    InsertOptions,
    ReplaceOptions,
)
from couchbase.transcoder import RawJSONTranscoder

from couchbase_standin.standin import Op, Role, Standin, Status, standing
from waiting_for import wait_until

SHORT = timedelta(seconds=2)
MAJORITY = ServerDurability(DurabilityLevel.MAJORITY)
RAW = RawJSONTranscoder()


@pytest.fixture
def standin() -> Iterator[Standin]:
    with standing() as running:
        running.bucket("acme")
        running.user("writer", "right", Role("data_writer", "acme"), Role("data_reader", "acme"))
        yield running


@contextmanager
def connected(standin: Standin, user: str, password: str) -> Iterator[Cluster]:
    timeouts = ClusterTimeoutOptions(bootstrap_timeout=SHORT, kv_timeout=SHORT)
    login = PasswordAuthenticator(user, password)
    cluster = Cluster(standin.address, ClusterOptions(login, timeout_options=timeouts))
    try:
        yield cluster
    finally:
        cluster.close()


@pytest.fixture
def collection(standin: Standin) -> Iterator[Collection]:
    with connected(standin, "writer", "right") as cluster:
        yield cluster.bucket("acme").default_collection()


def insert(collection: Collection, key: str = "k", value: bytes = b"{}") -> Any:
    options = InsertOptions(transcoder=RAW, durability=MAJORITY, timeout=SHORT)
    return collection.insert(key, value, options)


# without faults


def test_what_is_written_is_read_byte_by_byte(collection: Collection) -> None:
    value = b'{"n":  1.10, "n": 12345678901234567890, "s": "\\ud800"}'
    insert(collection, value=value)

    assert collection.get("k", GetOptions(transcoder=RAW)).value == value


def test_a_key_is_inserted_once_and_replaced_by_who_saw_it_last(collection: Collection) -> None:
    made = insert(collection)

    with pytest.raises(DocumentExistsException):
        insert(collection, value=b"[]")
    collection.replace("k", b"[1]", ReplaceOptions(transcoder=RAW, cas=made.cas))
    with pytest.raises(CouchbaseException):
        collection.replace("k", b"[2]", ReplaceOptions(transcoder=RAW, cas=made.cas))
    collection.remove("k")
    with pytest.raises(DocumentNotFoundException):
        collection.get("k")


@pytest.mark.parametrize(("user", "password"), [("writer", "wrong"), ("nobody", "right")])
def test_who_has_no_password_is_not_let_in(standin: Standin, user: str, password: str) -> None:
    with pytest.raises(AuthenticationException), connected(standin, user, password):
        pass

    assert standin.data.logins == {"": 1}


def test_the_sdk_takes_a_certificate_that_is_for_another_name(tmp_path: Path) -> None:
    """
    Once this fails, what `couchbase_reach.py` does about it can go: the SDK verifies names then.
    """
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    authority.issue_cert("another.example").configure_cert(context)
    with standing(context) as standin:
        standin.bucket("acme")
        standin.user("writer", "right", Role("data_writer", "acme"))
        login = PasswordAuthenticator("writer", "right", cert_path=str(tmp_path / "ca.pem"))
        cluster = Cluster(standin.address_tls, ClusterOptions(login))
        try:
            insert(cluster.bucket("acme").default_collection())
        finally:
            cluster.close()

        assert set(standin.data.mechanisms) == {"PLAIN"}


PLACES = ["acme", "globex"]
VERBS: dict[str, Callable[[Collection], Any]] = {
    "data_reader": lambda collection: collection.get("there"),
    "data_writer": lambda collection: insert(collection, secrets.token_hex(8)),
}


def roles_and_places() -> list[tuple[str, str, str, str]]:
    return [*product(PLACES, VERBS, PLACES, VERBS)]


@pytest.mark.parametrize(("mine", "role", "place", "verb"), roles_and_places())
@pytest.mark.parametrize("isolation", ["Bucket", "Scope"])
def test_a_role_is_for_one_verb_in_one_place(
    isolation: str, mine: str, role: str, place: str, verb: str
) -> None:
    """A user of every bucket or scope, at every other, with every verb."""
    with standing() as standin:
        for bucket in PLACES:
            made = standin.bucket(bucket)
            for scope in PLACES:
                made.add_scope(scope)
                made.add_collection(scope, "clicks")
        where = (mine,) if isolation == "Bucket" else ("acme", mine)
        asked = (place, "acme") if isolation == "Bucket" else ("acme", place)
        standin.user("one", "right", Role(role, *where))
        standin.user("all", "right", Role("data_writer", "*"))
        with connected(standin, "all", "right") as cluster:
            insert(cluster.bucket(asked[0]).scope(asked[1]).collection("clicks"), "there")

        with connected(standin, "one", "right") as cluster:

            def tried() -> None:
                VERBS[verb](cluster.bucket(asked[0]).scope(asked[1]).collection("clicks"))

            if (mine, role) == (place, verb):
                tried()
            else:
                with pytest.raises(REFUSALS):
                    tried()


REFUSALS = (
    BucketNotFoundException,
    ScopeNotFoundException,
    AuthenticationException,
    UnAmbiguousTimeoutException,
    AmbiguousTimeoutException,
)
"""A bucket in which a user may do nothing is not shown to be there, and neither is a scope."""


# faults


@pytest.mark.parametrize("status", [Status.TEMPORARY, Status.SYNC_WRITE_IN_PROGRESS])
def test_what_passes_is_tried_again_by_the_client(
    standin: Standin, collection: Collection, status: Status
) -> None:
    fault = standin.faults.add("answer", Op.ADD, status=status, times=2)

    insert(collection)

    assert fault.bit == 2
    assert [*standin.documents("acme")] == ["k"]


def test_the_sdk_hides_that_a_key_is_taken_behind_what_it_repeated_for(
    standin: Standin, collection: Collection
) -> None:
    """Which is why `couchbase_faults.py` goes by numbers: 105 is that the document exists."""
    insert(collection)
    fault = standin.faults.add("answer", Op.ADD, status=Status.TEMPORARY, times=1)

    with pytest.raises(TemporaryFailException) as raised:
        insert(collection)
    assert (fault.bit, raised.value.error_code) == (1, 105)


@pytest.mark.parametrize("applied", [True, False])
def test_an_ambiguous_write_is_there_or_not(
    standin: Standin, collection: Collection, *, applied: bool
) -> None:
    fault = standin.faults.add("ambiguous", Op.ADD, applied=applied, times=1)

    with pytest.raises(DurabilitySyncWriteAmbiguousException):
        insert(collection)
    assert fault.bit == 1
    assert ("k" in standin.documents("acme")) is applied


def test_a_durability_that_is_impossible_is_said(standin: Standin, collection: Collection) -> None:
    fault = standin.faults.add("answer", Op.ADD, status=Status.DURABILITY_IMPOSSIBLE)

    with pytest.raises(DurabilityImpossibleException):
        insert(collection)
    assert fault.bit == 1


@pytest.mark.parametrize("applied", [True, False])
def test_a_dropped_connection_leaves_a_write_there_or_not(
    standin: Standin, collection: Collection, *, applied: bool
) -> None:
    fault = standin.faults.add("drop", Op.ADD, applied=applied, times=1)

    with pytest.raises((RequestCanceledException, AmbiguousTimeoutException)):
        insert(collection)
    assert fault.bit == 1
    assert ("k" in standin.documents("acme")) is applied
    insert(collection, "after")


@pytest.mark.parametrize(("kind", "there"), [("silent", False), ("slow", True)])
def test_an_answer_that_comes_late_or_never_is_a_timeout(
    standin: Standin, collection: Collection, kind: Any, *, there: bool
) -> None:
    fault = standin.faults.add(kind, Op.ADD, seconds=2.5, times=1)

    with pytest.raises(AmbiguousTimeoutException):
        insert(collection)
    assert fault.bit == 1
    if there:
        wait_until(lambda: "k" in standin.documents("acme"), "the write came through")


def test_after_bytes_that_are_no_answer_only_another_connection_goes_on(
    standin: Standin, collection: Collection
) -> None:
    """The client waits for the body of 540 MB that it sees announced in them."""
    fault = standin.faults.add("garbage", Op.ADD, times=1)

    for key in ("during", "after"):
        with pytest.raises(AmbiguousTimeoutException):
            insert(collection, key)
    assert fault.bit == 1
    with connected(standin, "writer", "right") as cluster:
        insert(cluster.bucket("acme").default_collection(), "another")


def test_a_cluster_that_comes_back_is_found_again(standin: Standin, collection: Collection) -> None:
    insert(collection, "before")
    standin.stop()
    standin.start()

    wait_until(lambda: written(collection, "after"), "the client is connected again")
    assert [*standin.documents("acme")] == ["before", "after"]


def written(collection: Collection, key: str) -> bool:
    try:
        insert(collection, key)
    except DocumentExistsException:
        return True
    except CouchbaseException:
        return False
    return True
