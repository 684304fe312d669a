"""
A06: no affiliate's user reads, writes or manages what is another's, with every verb, in buckets of
their own and in scopes of a shared one. Runs against the cluster of `make verify-couchbase`, too.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from couchbase.subdocument import exists, upsert

import couching
from couching import Couching
from trackmate_consume.sink import Down
from trackmate_consume.sinks.couchbase_cluster import CouchbaseCluster, Missing, Taken
from trackmate_contract.couchbase import Couchbase

AFFILIATES = range(3)
KEY = "e::events::secret"
VERBS: dict[str, Callable[[Any], Awaitable[Any]]] = {
    "read": lambda collection: collection.get(KEY),
    "look into": lambda collection: collection.lookup_in(KEY, [exists("tm", xattr=True)]),
    "insert": lambda collection: collection.insert(f"{KEY}-2", {}),
    "overwrite": lambda collection: collection.upsert(KEY, {}),
    "replace": lambda collection: collection.replace(KEY, {}),
    "change": lambda collection: collection.mutate_in(KEY, [upsert("tm", 1, xattr=True)]),
    "remove": lambda collection: collection.remove(KEY),
}


class Tenant(NamedTuple):
    settings: Couchbase
    login: tuple[str, str]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Couching]:
    with couching.cluster() as found:
        yield found


@pytest.fixture(scope="module", params=["Bucket", "Scope"])
def tenants(
    request: pytest.FixtureRequest, cluster: Couching, tmp_path_factory: pytest.TempPathFactory
) -> list[Tenant]:
    """Each with a document of its own under the same key."""
    shared = cluster.bucket() if request.param == "Scope" else ""
    made = []
    for _ in AFFILIATES:
        bucket = shared or cluster.bucket()
        scope = cluster.scope(bucket) if shared else "_default"
        settings = cluster.settings(tmp_path_factory.mktemp("tenant"), bucket, scope)
        password = Path(settings.password_file).read_text().strip()
        made.append(Tenant(settings, (settings.username, password)))
        asyncio.run(keep(settings))
    return made


async def keep(settings: Couchbase) -> None:
    async with couching.connected(settings) as connection:
        await connection.call(
            connection.events, lambda found: found.insert(KEY, {"whose": settings.username})
        )


async def tried(settings: Couchbase, verb: str) -> Exception | None:
    connection = CouchbaseCluster(settings, connect_s=5, answer_s=2)
    try:
        await connection.call(connection.events, VERBS[verb])
    except (Down, Missing, Taken) as fault:
        return fault
    finally:
        await connection.close()
    return None


@pytest.mark.parametrize("verb", VERBS)
def test_a_user_does_nothing_to_the_documents_of_another(tenants: list[Tenant], verb: str) -> None:
    """And is told nothing about them: not by a missing key, and not by one that is taken."""
    for mine, other in product(tenants, tenants):
        if mine is other:
            continue
        place = {"bucket": other.settings.bucket, "scope": other.settings.scope}
        said = asyncio.run(tried(mine.settings.model_copy(update=place), verb))
        assert isinstance(said, Down), (verb, mine, other)
        assert "or the user" in str(said)


def test_what_is_there_is_still_its_own(tenants: list[Tenant]) -> None:
    async def whose(settings: Couchbase) -> bytes | None:
        async with couching.connected(settings) as connection:
            return await couching.value(connection, KEY)

    for tenant in tenants:
        assert tenant.settings.username.encode() in (asyncio.run(whose(tenant.settings)) or b"")


def test_a_user_manages_nothing(cluster: Couching, tenants: list[Tenant]) -> None:
    for mine, other in product(tenants, tenants):
        bucket = f"/pools/default/buckets/{other.settings.bucket}"
        user = f"/settings/rbac/users/local/{other.settings.username}"
        asked = [
            ("DELETE", bucket),
            ("POST", bucket),
            ("POST", f"{bucket}/scopes"),
            ("POST", f"{bucket}/scopes/{other.settings.scope}/collections"),
            ("DELETE", f"{bucket}/scopes/{other.settings.scope}"),
            ("POST", "/pools/default/buckets"),
            ("GET", user),
            ("PUT", user),
            ("DELETE", user),
            ("GET", "/settings/rbac/users"),
        ]
        if mine.settings.bucket != other.settings.bucket:
            asked.append(("GET", bucket))
        for method, path in asked:
            answer = cluster.ask(method, path, mine.login, name="stolen", password="stolen")
            assert answer.status_code == 403, (method, path)
            wrong = cluster.ask(method, path, (mine.login[0], "wrong"))
            assert wrong.status_code == 401, (method, path)


def test_a_user_is_shown_its_own_bucket_alone(cluster: Couching, tenants: list[Tenant]) -> None:
    for tenant in tenants:
        shown = cluster.ask("GET", "/pools/default/buckets", tenant.login).json()
        assert [bucket["name"] for bucket in shown] == [tenant.settings.bucket]
