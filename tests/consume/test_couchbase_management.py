"""
The stand-in's management API: what it makes, whom it refuses, and what it answers on demand. Asked
by plain HTTP, and by the SDK where that survives the answer.
"""

import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import product
from typing import Any

import httpx
import pytest
from couchbase.auth import PasswordAuthenticator
from couchbase.cluster import Cluster
from couchbase.management.buckets import CreateBucketSettings
from couchbase.management.users import Role as SdkRole
from couchbase.management.users import User as SdkUser
from couchbase.options import ClusterOptions

from couchbase_standin.standin import ADMIN, Role, Standin, standing
from loopback import LOOPBACK

BUCKETS, USERS = "/pools/default/buckets", "/settings/rbac/users/local"


@pytest.fixture
def standin() -> Iterator[Standin]:
    with standing() as running:
        yield running


def ask(
    standin: Standin, method: str, path: str, *, as_: tuple[str, str] | None = None, **form: Any
) -> httpx.Response:
    login = as_ or (ADMIN.id, ADMIN.password)
    return httpx.request(method, standin.url + path, auth=login, data=form or None, **LOOPBACK)


def make_bucket(standin: Standin, name: str, **form: Any) -> httpx.Response:
    return ask(standin, "POST", BUCKETS, **{"name": name, "ramQuota": 100, **form})


def test_a_bucket_is_made_shown_changed_and_dropped(standin: Standin) -> None:
    form = {"replicaNumber": 0, "durabilityMinLevel": "majorityAndPersistActive"}
    assert make_bucket(standin, "acme", **form).status_code == 202
    shown = ask(standin, "GET", f"{BUCKETS}/acme").json()
    assert shown["durabilityMinLevel"] == "majorityAndPersistActive"

    assert ask(standin, "POST", f"{BUCKETS}/acme", ramQuota=200).status_code == 200
    assert ask(standin, "GET", f"{BUCKETS}/acme").json()["quota"]["ram"] == 200 << 20

    assert ask(standin, "DELETE", f"{BUCKETS}/acme").status_code == 200
    assert ask(standin, "GET", f"{BUCKETS}/acme").status_code == 404


@pytest.mark.parametrize(
    ("form", "field", "words"),
    [
        ({"name": "there"}, "name", "Bucket with given name already exists"),
        ({"name": "a b"}, "name", "can only contain"),
        ({"ramQuota": 99}, "ramQuota", "cannot be less than 100"),
        ({"durabilityMinLevel": "always"}, "durability_min_level", "must be either"),
        (
            {"durabilityMinLevel": "majority", "replicaNumber": 1},
            "durability_min_level",
            "not have enough data servers",
        ),
    ],
)
def test_what_is_wrong_with_a_bucket_is_said_at_its_field(
    standin: Standin, form: dict[str, Any], field: str, words: str
) -> None:
    make_bucket(standin, "there")

    answer = make_bucket(standin, **{"name": "new", **form})

    assert answer.status_code == 400
    assert words in answer.json()["errors"][field]


def test_the_31st_bucket_is_refused(standin: Standin) -> None:
    for number in range(30):
        assert make_bucket(standin, f"b{number}").status_code == 202

    answer = make_bucket(standin, "one-more")

    assert (answer.status_code, answer.json()) == (400, {"_": "Cannot create more than 30 buckets"})


def test_scopes_and_collections_are_made_and_dropped(standin: Standin) -> None:
    make_bucket(standin, "acme")
    scopes = f"{BUCKETS}/acme/scopes"

    assert ask(standin, "POST", scopes, name="web").json() == {"uid": "1"}
    assert ask(standin, "POST", f"{scopes}/web/collections", name="clicks").json() == {"uid": "2"}
    assert ask(standin, "POST", scopes, name="web").status_code == 400
    assert ask(standin, "POST", f"{scopes}/none/collections", name="x").status_code == 404
    [_, web] = ask(standin, "GET", scopes).json()["scopes"]
    assert (web["name"], web["collections"][0]["name"]) == ("web", "clicks")
    assert ask(standin, "DELETE", f"{scopes}/web/collections/clicks").status_code == 200
    assert ask(standin, "DELETE", f"{scopes}/web").status_code == 200
    assert ask(standin, "DELETE", f"{scopes}/web").status_code == 404


def test_a_user_has_roles_in_places_that_are_there(standin: Standin) -> None:
    make_bucket(standin, "acme")
    roles = "data_reader[acme],data_writer[acme:_default]"

    assert ask(standin, "PUT", f"{USERS}/app", roles=roles).status_code == 400
    assert ask(standin, "PUT", f"{USERS}/app", roles=roles, password="p").status_code == 200
    assert standin.state.users["app"].roles == (
        Role("data_reader", "acme"),
        Role("data_writer", "acme", "_default"),
    )
    assert ask(standin, "GET", "/whoami", as_=("app", "p")).json()["id"] == "app"
    for wrong in ("data_reader[globex]", "data_reader", "nonsense[acme]", "bucket_admin[acme:x]"):
        answer = ask(standin, "PUT", f"{USERS}/app", roles=wrong)
        assert f"[{wrong}]" in answer.json()["errors"]["roles"]
    assert ask(standin, "DELETE", f"{USERS}/app").status_code == 200
    assert ask(standin, "DELETE", f"{USERS}/app").status_code == 404


AFFILIATES = ["acme", "globex", "initech"]
VERBS = {
    "see its settings": ("GET", BUCKETS + "/{}"),
    "see its map": ("GET", "/pools/default/b/{}"),
    "change it": ("POST", BUCKETS + "/{}"),
    "drop it": ("DELETE", BUCKETS + "/{}"),
    "see its scopes": ("GET", BUCKETS + "/{}/scopes"),
    "make a scope": ("POST", BUCKETS + "/{}/scopes"),
    "drop a scope": ("DELETE", BUCKETS + "/{}/scopes/web"),
    "make a collection": ("POST", BUCKETS + "/{}/scopes/web/collections"),
    "see its user": ("GET", USERS + "/{}"),
    "change its user": ("PUT", USERS + "/{}"),
    "drop its user": ("DELETE", USERS + "/{}"),
}
OF_ONES_OWN = {"see its settings", "see its map"}


def test_no_user_of_an_affiliate_manages_anything(standin: Standin) -> None:
    """A06: every user, at every bucket, with every verb; and the same without a password."""
    for name in AFFILIATES:
        standin.bucket(name).add_scope("web")
        standin.user(name, "p", Role("data_writer", name), Role("data_reader", name))
    before = repr(standin.state)

    for mine, other, verb in product(AFFILIATES, AFFILIATES, VERBS):
        method, path = VERBS[verb]
        allowed = mine == other and verb in OF_ONES_OWN
        answer = ask(standin, method, path.format(other), as_=(mine, "p"))
        assert answer.status_code == (200 if allowed else 403), (mine, verb, other)
        assert allowed or "permissions" in answer.json()
        refused = ask(standin, method, path.format(other), as_=(mine, "wrong"))
        assert refused.status_code == 401

    assert repr(standin.state) == before
    shown = ask(standin, "GET", BUCKETS, as_=("acme", "p")).json()
    assert [bucket["name"] for bucket in shown] == ["acme"]
    assert ask(standin, "POST", BUCKETS, as_=("acme", "p"), name="x").status_code == 403


def test_the_sdk_manages_too(standin: Standin) -> None:
    cluster = Cluster(
        standin.address, ClusterOptions(PasswordAuthenticator(ADMIN.id, ADMIN.password))
    )
    try:
        cluster.buckets().create_bucket(
            CreateBucketSettings(name="acme", ram_quota_mb=100, num_replicas=0)
        )
        cluster.users().upsert_user(
            SdkUser(username="app", password="p", roles={SdkRole("data_reader", "acme")})
        )
        collections = cluster.bucket("acme").collections()
        collections.create_scope("web")
        collections.create_collection("web", "clicks")

        assert [bucket.name for bucket in cluster.buckets().get_all_buckets()] == ["acme"]
        assert standin.state.users["app"].roles == (Role("data_reader", "acme"),)
        assert "clicks" in standin.state.buckets["acme"].scopes["web"].collections
    finally:
        cluster.close()


@pytest.mark.parametrize(
    ("kind", "status", "text"),
    [
        ("html", 200, "<html>"),
        ("truncated", 200, '{"name"'),
        ("wrong type", 200, "[7"),
        ("error", 500, "error"),
    ],
)
def test_strange_answers_come_on_demand(
    standin: Standin, kind: Any, status: int, text: str
) -> None:
    fault = standin.faults.add(kind, path=BUCKETS, times=1)

    answer = ask(standin, "GET", BUCKETS)

    assert (answer.status_code, fault.bit) == (status, 1)
    assert ask(standin, "GET", BUCKETS).json() == []


@pytest.mark.parametrize("applied", [True, False])
def test_a_dropped_request_was_done_or_not(standin: Standin, *, applied: bool) -> None:
    fault = standin.faults.add("drop", path=BUCKETS, times=1, applied=applied)

    with pytest.raises(httpx.TransportError):
        make_bucket(standin, "acme")
    assert fault.bit == 1
    assert ("acme" in standin.state.buckets) is applied


ASKS = """
import sys
from couchbase.auth import PasswordAuthenticator
from couchbase.cluster import Cluster
from couchbase.options import ClusterOptions

cluster = Cluster(sys.argv[1], ClusterOptions(PasswordAuthenticator(*sys.argv[2:4])))
try:
    print(cluster.buckets().get_bucket("acme"))
except Exception as fault:
    print(type(fault).__name__)
"""


@pytest.mark.parametrize(
    ("kind", "returncode"), [("html", 0), ("truncated", 0), ("wrong type", -signal.SIGABRT)]
)
def test_the_sdk_aborts_its_whole_process_on_json_of_another_shape(
    standin: Standin, kind: Any, returncode: int
) -> None:
    """Which is why nothing of ours manages through it in a process that has other work."""
    standin.bucket("acme")
    fault = standin.faults.add(kind, path=BUCKETS)

    ended = subprocess.run(
        [sys.executable, "-c", ASKS, standin.address, ADMIN.id, ADMIN.password],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert fault.bit >= 1
    assert ended.returncode == returncode, ended.stderr
    assert ended.stdout == ("" if returncode else "ParsingFailedException\n")
