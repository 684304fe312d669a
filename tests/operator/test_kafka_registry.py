"""
The registry: what is kept is found again, by whoever opens it next; only the last who opened it
writes; what cannot be read is never taken for absent.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from kafka_broker import Cluster, kafka_brokers
from kafka_operating import access
from kafka_reading import whole_topic
from kafka_users import (
    DESCRIBE,
    OPERATIONS,
    READ,
    WRITE,
    allow,
    allow_cluster,
    allow_every_topic,
    allow_group,
    allow_transactional_id,
    set_password,
)
from trackmate_operator.backend import Down
from trackmate_operator.kafka.admin import Admin
from trackmate_operator.kafka.registry import Fenced, Registry
from trackmate_operator.registration import REGISTRY, Registration
from trackmate_operator.settings import Topics

pytestmark = pytest.mark.needs("kafka")

KEPT = Topics.model_validate({"replicas": 1, "minInsyncReplicas": 1})
ACME = Registration(
    "acme", "af-1042", {"acme.events": "T1", "acme.crm.dead": ""}, lost=("acme.crm.dead",)
)
GLOBEX = Registration("globex", "af-7", {"globex.events": "T2"}, retained=True)
Work = Callable[[Admin, Registry], Awaitable[Any]]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with kafka_brokers(secured=True) as cluster:
        yield cluster


@pytest.fixture
def run(cluster: Cluster, tmp_path: Path) -> Iterator[Callable[[Work], Any]]:
    """Runs with a registry that nobody has opened; the topic is gone at the end."""

    def begin(work: Work) -> Any:
        async def whole() -> Any:
            admin = Admin(access(cluster, tmp_path))
            registry = Registry(admin, KEPT)
            try:
                return await work(admin, registry)
            finally:
                await registry.close()
                await admin.close()

        return asyncio.run(whole())

    yield begin
    cluster.empty()


Run = Callable[[Work], Any]


def test_what_is_saved_is_found_by_the_next_that_opens_it(run: Run) -> None:
    async def save(_: Admin, registry: Registry) -> Any:
        await registry.open()
        await registry.save(Registration("acme", "af-1042"))
        await registry.save(ACME)
        await registry.save(GLOBEX)
        await registry.save(Registration("initech", "af-9"))
        await registry.forget("initech")
        return await registry.find("acme"), await registry.find("initech")

    async def look(_: Admin, registry: Registry) -> Any:
        await registry.refresh()  # to look at it, nobody need be the one that writes
        return dict(await registry.all())

    assert run(save) == (ACME, None)
    assert run(look) == {"acme": ACME, "globex": GLOBEX}


def test_its_topic_is_made_to_last(run: Run) -> None:
    async def opened(admin: Admin, registry: Registry) -> Any:
        await registry.open()
        [found] = (await admin.topics([REGISTRY])).values()
        return found

    found = run(opened)
    assert found.partitions == 1
    assert found.config["cleanup.policy"] == "compact"
    assert found.config["unclean.leader.election.enable"] == "false"


def test_it_is_open_also_while_it_writes(run: Run) -> None:
    """Else each write would make another look open it anew, and take it from this one."""

    async def watched(_: Admin, registry: Registry) -> Any:
        await registry.open()
        saving = asyncio.gather(
            *(registry.save(Registration(f"affiliate-{n}", "af-1")) for n in range(10))
        )
        seen = set()
        while not saving.done():
            seen.add(registry.is_open)
            await asyncio.sleep(0)
        await saving
        return seen

    assert run(watched) == {True}


def test_a_stale_leader_cannot_write(run: Run, cluster: Cluster) -> None:
    async def both(admin: Admin, stale: Registry) -> Any:
        leader = Registry(admin, KEPT)
        await stale.open()
        await stale.save(ACME)
        await leader.open()
        with pytest.raises(Fenced, match="Another operator writes the registry now"):
            await stale.save(Registration("acme", "af-stale"))
        assert not stale.is_open
        with pytest.raises(Down, match="not open to write"):
            await stale.forget("acme")
        assert await stale.find("acme") == ACME
        await leader.save(GLOBEX)
        await stale.refresh()
        await leader.close()
        return dict(await stale.all())

    assert run(both) == {"acme": ACME, "globex": GLOBEX}
    settings = cluster.settings() | {"isolation.level": "read_committed"}
    ids = [
        json.loads(one.value() or b"")["id"]
        for one in whole_topic(settings, REGISTRY, partitions=1)
    ]
    assert ids == ["af-1042", "af-7"]


def test_a_write_that_was_left_half_done_is_not_there(run: Run, cluster: Cluster) -> None:
    """Another operator was killed between the record and the end of its transaction."""

    async def after(_: Admin, registry: Registry) -> Any:
        await registry.open()
        await registry.save(ACME)
        killed = Producer({**cluster.settings(), "transactional.id": REGISTRY})
        await asyncio.to_thread(killed.init_transactions, 20)
        killed.begin_transaction()
        killed.produce(REGISTRY, key=b"acme", value=b'{"id": "half"}', partition=0)
        await asyncio.to_thread(killed.flush, 20)
        again = Registry(_, KEPT)
        await again.open()
        found = dict(await again.all())
        await again.save(GLOBEX)
        await again.close()
        del killed
        return found

    assert run(after) == {"acme": ACME}


def test_a_cancelled_save_is_whole_or_not_at_all_and_the_next_one_works(run: Run) -> None:
    async def cancelled(admin: Admin, registry: Registry) -> Any:
        await registry.open()
        saving = asyncio.create_task(registry.save(ACME))
        await asyncio.sleep(0)
        saving.cancel()
        await asyncio.wait({saving})
        await registry.save(GLOBEX)
        held = dict(await registry.all())
        await registry.refresh()
        return held, dict(await registry.all())

    held, read = run(cancelled)
    assert held == read
    assert read["globex"] == GLOBEX


def test_many_at_once_share_transactions_and_each_hears_of_its_own(
    run: Run, cluster: Cluster
) -> None:
    async def many(admin: Admin, registry: Registry) -> Any:
        await registry.open()
        names = [f"a{number}" for number in range(200)]
        await asyncio.gather(*(registry.save(Registration(name, "af-1")) for name in names))
        held = dict(await registry.all())
        leader = Registry(admin, KEPT)
        await leader.open()
        late = (registry.save(Registration(name, "af-2")) for name in names[:20])
        faults = await asyncio.gather(*late, return_exceptions=True)
        read = dict(await leader.all())
        await leader.close()
        return names, held, read, faults

    names, held, read, faults = run(many)
    assert [*held] == names
    assert read == held
    assert {type(fault) for fault in faults} <= {Fenced, Down}
    assert Fenced in {type(fault) for fault in faults}
    records = whole_topic(cluster.settings(), REGISTRY, partitions=1)
    [last] = [one.offset() for one in records if one.key() == b"a199"]
    assert last is not None
    assert last < 220, "markers of transactions have offsets too"


def test_records_of_versions_before_and_after_are_read(run: Run, cluster: Cluster) -> None:
    async def opened(_: Admin, registry: Registry) -> Any:
        await registry.open()
        put(
            cluster, b"acme", {"id": "af-1", "topics": {}, "book": [], "retained": False, "pool": 3}
        )
        await registry.refresh()
        return await registry.find("acme")

    assert run(opened) == Registration("acme", "af-1")


@pytest.mark.parametrize(
    "value",
    [
        b"{",
        b"[]",
        b"{}",
        b'{"id": 7, "topics": {}, "retained": false}',
        b'{"id": "a", "topics": {"a.events": 7}, "retained": false}',
        b'{"id": "a", "topics": [], "retained": false}',
        b'{"id": "a", "topics": {}, "retained": "no"}',
        b"\xff",
    ],
)
def test_a_record_that_cannot_be_read_is_said_with_its_offset(
    run: Run, cluster: Cluster, value: bytes
) -> None:
    async def opened(_: Admin, registry: Registry) -> str:
        await registry.open()
        put(cluster, b"globex", {"id": "af-7", "topics": {}, "book": [], "retained": False})
        put(cluster, b"acme", value)
        with pytest.raises(Down) as down:
            await registry.refresh()
        return str(down.value)

    assert run(opened) == (
        "Record 1 of the topic 'trackmate.registry', of 'acme', cannot be read: somebody else "
        "wrote it. Write what belongs there under the same key; until then nothing is done for "
        "any affiliate."
    )


def test_a_topic_that_would_forget_is_refused(run: Run, cluster: Cluster) -> None:
    cluster.create(REGISTRY, partitions=1, cleanup_policy="delete")

    async def opened(_: Admin, registry: Registry) -> str:
        with pytest.raises(Down) as down:
            await registry.open()
        return str(down.value)

    assert run(opened) == (
        "Topic 'trackmate.registry' has cleanup.policy=delete, and would forget what belongs to "
        "whom; see that it is whole, and set cleanup.policy=compact."
    )


def test_brokers_that_are_down_are_said_and_it_opens_again(tmp_path: Path) -> None:
    with kafka_brokers(secured=True) as cluster:

        async def outage() -> Any:
            admin = Admin(access(cluster, tmp_path))
            registry = Registry(admin, KEPT)
            await registry.open()
            await registry.save(ACME)
            [broker] = cluster.brokers
            await asyncio.to_thread(broker.kill)
            with pytest.raises(Down, match="cannot be reached"):
                await registry.save(GLOBEX)
            assert not registry.is_open
            assert await registry.find("acme") == ACME
            broker.start()
            await asyncio.to_thread(cluster.wait)
            await registry.open()
            await registry.save(GLOBEX)
            found = dict(await registry.all())
            await registry.close()
            await admin.close()
            return found

        assert asyncio.run(outage()) == {"acme": ACME, "globex": GLOBEX}


@pytest.mark.parametrize("missing", ["", "topic", "group", "transactional id"])
def test_the_rights_that_it_needs(cluster: Cluster, tmp_path: Path, missing: str) -> None:
    user = f"without-{missing.replace(' ', '-')}"
    set_password(cluster, user, "own")
    allow_cluster(cluster, user, OPERATIONS["Create"])
    allow_every_topic(cluster, user, OPERATIONS["AlterConfigs"], DESCRIBE)
    if missing != "topic":
        allow(cluster, user, REGISTRY, READ, WRITE)
    if missing != "group":
        allow_group(cluster, user, REGISTRY)
    if missing != "transactional id":
        allow_transactional_id(cluster, user, REGISTRY)

    async def used() -> None:
        admin = Admin(access(cluster, tmp_path, user, "own"))
        registry = Registry(admin, KEPT)
        try:
            await registry.open()
            await registry.save(ACME)
        finally:
            await registry.close()
            await admin.close()

    if not missing:
        asyncio.run(used())
        return
    with pytest.raises(Down) as down:
        asyncio.run(used())
    assert str(down.value).startswith(f"Kafka does not let the operator's user {user!r} use the")
    assert str(down.value).endswith(f"on the {missing} 'trackmate.registry'.")


def put(cluster: Cluster, key: bytes, value: object) -> None:
    producer = Producer(cluster.settings())
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    producer.produce(REGISTRY, key=key, value=text, partition=0)
    assert producer.flush(20) == 0
    producer.close()
