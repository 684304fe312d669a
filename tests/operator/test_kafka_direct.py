"""
Topics and users as the operator makes and keeps them, on a real broker that asks for rights.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from kafka_broker import Cluster, kafka_brokers
from kafka_operating import Watched, access, standing, wanted
from kafka_users import OPERATIONS, WRITE, allow, allow_cluster, set_password
from trackmate_operator.backend import Item
from trackmate_operator.kafka.admin import Admin
from trackmate_operator.kafka.messages import SCRAM_SHA_512
from trackmate_operator.kafka.seeing import comes_to_hold
from trackmate_operator.plan.kafka import Wanted
from waiting_for import wait_until

pytestmark = pytest.mark.needs("kafka")

CLUSTER = [OPERATIONS[one] for one in ("Alter", "AlterConfigs", "Describe", "DescribeConfigs")]
NAME, ID = "acme", "af-1042"
WANTED = wanted(NAME, {"events": 2}, {"crm": "events"}, retention_ms="3600000")
TOPICS = ["acme.events", "acme.crm.dead"]
MADE = [*TOPICS, "acme.crm"]
USERS = ["acme-ingest", "acme.crm"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with kafka_brokers(secured=True) as cluster:
        yield cluster


Work = Callable[[Watched], Awaitable[Any]]
Run = Callable[[Work], Any]


@pytest.fixture
def run(cluster: Cluster, tmp_path: Path) -> Iterator[Run]:
    """Runs with an Admin that is watched; what was made of acme is gone at the end."""

    def begin(work: Work) -> Any:
        async def whole() -> Any:
            admin = Admin(access(cluster, tmp_path))
            try:
                return await work(Watched(admin))
            finally:
                await admin.close()

        return asyncio.run(whole())

    yield begin

    async def clean(watched: Watched) -> None:
        await watched.direct().revoke(NAME)
        await watched.direct().drop(NAME, MADE)

        async def gone() -> bool:
            return await standing(watched.admin, NAME, MADE) == NOTHING

        assert await comes_to_hold(gone, within_s=10, every_s=0.05)

    begin(clean)


NOTHING: dict[str, Any] = {"passwords": {}, "acls": [], "quotas": {}, "topics": {}}


async def keep(watched: Watched, what: Wanted = WANTED) -> Any:
    return await watched.direct().keep(NAME, ID, what, {})


def test_all_is_made_and_users_can_log_in(run: Run, cluster: Cluster) -> None:
    kept = run(keep)

    assert (kept.faults, kept.awaited) == ({}, {})
    assert sorted(kept.topic_ids) == sorted(TOPICS)
    assert sorted(kept.passwords) == USERS
    for user, password in kept.passwords.items():
        there = AdminClient(cluster.settings(user, password)).list_topics(timeout=10).topics
        assert "acme.events" in there


def test_what_is_as_it_is_to_be_is_not_written_again(run: Run) -> None:
    async def twice(watched: Watched) -> tuple[Any, Any]:
        direct = watched.direct()
        first = await direct.keep(NAME, ID, WANTED, {})
        assert watched.wrote
        watched.wrote.clear()
        return first, await direct.keep(NAME, ID, WANTED, first.passwords)

    async def started_anew(watched: Watched) -> Any:
        return await watched.direct().keep(NAME, ID, WANTED, first.passwords), watched.wrote

    first, second = run(twice)
    third, wrote = run(started_anew)
    assert (second.changed, third.changed, wrote) == ([], [], [])
    assert second.passwords == third.passwords == first.passwords
    assert second.topic_ids == third.topic_ids == first.topic_ids


def test_a_password_that_no_secret_holds_is_set_again_and_is_the_same(run: Run) -> None:
    async def twice(watched: Watched) -> tuple[Any, Any]:
        first = await keep(watched)
        watched.wrote.clear()
        held = {**first.passwords, "acme.crm": "of old"}
        return first, await watched.direct().keep(NAME, ID, WANTED, held)

    first, second = run(twice)
    assert second.changed == ["Set the password of the user 'acme.crm'."]
    assert second.passwords == first.passwords


def test_a_user_that_kafka_forgot_is_made_again_with_its_password(
    run: Run, cluster: Cluster
) -> None:
    async def twice(watched: Watched) -> tuple[Any, Any]:
        first = await keep(watched)
        await watched.admin.drop_password("acme.crm", SCRAM_SHA_512)
        return first, await watched.direct().keep(NAME, ID, WANTED, first.passwords)

    first, second = run(twice)
    assert second.changed == ["Made the user 'acme.crm'."]
    assert second.passwords == first.passwords
    AdminClient(cluster.settings("acme.crm", first.passwords["acme.crm"])).list_topics(timeout=10)


def test_another_id_has_other_passwords(run: Run) -> None:
    async def twice(watched: Watched) -> tuple[Any, Any]:
        first = await keep(watched)
        return first, await watched.direct().keep(NAME, "af-2", WANTED, first.passwords)

    first, second = run(twice)
    assert not {*first.passwords.values()} & {*second.passwords.values()}


def test_what_somebody_changed_by_hand_is_mended(run: Run, cluster: Cluster) -> None:
    async def kept(watched: Watched) -> Any:
        found = await keep(watched)
        return found, await standing(watched.admin, NAME, TOPICS)

    first, before = run(kept)
    set_config(cluster, "acme.events", "retention.ms", "1000")
    set_config(cluster, "acme.events", "segment.ms", "7000000")  # nobody's business
    set_password(cluster, "acme.crm", "guessed")
    allow(cluster, "acme.crm", "globex.events", WRITE)

    async def by_hand(watched: Watched) -> None:
        acls = await watched.admin.acls("acme-ingest")
        await watched.admin.disallow(sorted(acls)[:1])
        await watched.admin.limit({(("user", "acme-ingest"),): {"producer_byte_rate": 9e9}})
        wider = {"producer_byte_rate": 8e9}
        await watched.admin.limit({(("client-id", "x"), ("user", "acme-ingest")): wider})

    run(by_hand)

    async def again(watched: Watched) -> Any:
        found = await watched.direct().keep(NAME, ID, WANTED, first.passwords)
        return found, await standing(watched.admin, NAME, TOPICS)

    second, after = run(again)
    assert after["topics"]["acme.events"][2].pop("segment.ms") == "7000000"
    before["topics"]["acme.events"][2].pop("segment.ms")
    assert after == before
    assert [*second.changed] == [
        "Configured the topic 'acme.events': retention.ms=3600000 (it was 1000).",
        "Set the quotas of the user 'acme-ingest'.",
        "Gave the user 'acme-ingest' 1 rights.",
        "Set the password of the user 'acme.crm'.",
        "Took 1 rights of 'acme.crm' away.",
    ]
    AdminClient(cluster.settings("acme.crm", second.passwords["acme.crm"])).list_topics(timeout=10)


def test_partitions_grow(run: Run) -> None:
    async def grown(watched: Watched) -> Any:
        await keep(watched)
        more = wanted(NAME, {"events": 5}, {"crm": "events"}, retention_ms="3600000")
        return await keep(watched, more), await watched.admin.topics(TOPICS)

    kept, found = run(grown)
    assert "Gave the topic 'acme.events' 5 partitions, from 2." in kept.changed
    assert found["acme.events"].partitions == 5


def test_what_cannot_be_done_is_a_sentence_and_all_else_is_done(run: Run) -> None:
    async def shrunk(watched: Watched) -> Any:
        await keep(watched)
        fewer = wanted(NAME, {"events": 1}, {"bi": "events"}, retention_ms="7200000")
        torn = replace(fewer, topics=(replace(fewer.topics[0], replicas=3), *fewer.topics[1:]))
        return await keep(watched, torn), await watched.admin.topics(["acme.events"])

    kept, found = run(shrunk)
    assert dict(kept.faults) == {
        Item("topic", "acme.events"): (
            "Topic 'acme.events' has 2 partitions and is to have 1: Kafka takes none away, as "
            "their events would be lost; ask for 2, or for a stream of another name. Topic "
            "'acme.events' has 1 replica and is to have 3; move it with "
            "kafka-reassign-partitions.sh, or set topics.replicas in the operator's settings."
        )
    }
    assert found["acme.events"].config["retention.ms"] == "7200000"
    assert sorted(kept.topic_ids) == ["acme.bi.dead"]
    assert sorted(kept.passwords) == ["acme-ingest", "acme.bi"]


def test_a_topic_that_kafka_refuses_says_why(run: Run) -> None:
    async def refused(watched: Watched) -> Any:
        many = replace(WANTED.topics[0], replicas=3)
        odd = replace(WANTED.topics[1], config={"retention.ms": "soon"})
        return await keep(watched, Wanted((many, odd), WANTED.users))

    kept = run(refused)
    assert sorted(kept.faults) == [Item("topic", name) for name in sorted(TOPICS)]
    said = kept.faults[Item("topic", "acme.events")]
    assert "Kafka does not make the topic 'acme.events': " in said
    assert "only 1 broker(s) are registered" in said
    assert "soon" in kept.faults[Item("topic", "acme.crm.dead")]
    assert sorted(kept.passwords) == USERS


def test_a_pipeline_may_be_called_like_a_stream(run: Run) -> None:
    """Then its user and the stream's topic have one name, and a fault is of one of them alone."""

    async def namesakes(watched: Watched) -> Any:
        both = wanted(NAME, {"crm": 1}, {"crm": "crm"})
        torn = replace(both, topics=(replace(both.topics[0], replicas=3), *both.topics[1:]))
        return await keep(watched, torn)

    kept = run(namesakes)
    assert [*kept.faults] == [Item("topic", "acme.crm")]
    assert sorted(kept.passwords) == ["acme-ingest", "acme.crm"]


def test_users_that_are_not_wanted_any_more_are_gone_and_those_of_others_stay(run: Run) -> None:
    others = wanted("acme-2", {"events": 1}, {"crm": "events"})

    async def fewer(watched: Watched) -> Any:
        direct = watched.direct()
        await direct.keep("acme-2", "af-2", others, {})
        theirs = await standing(watched.admin, "acme-2", ["acme-2.events"])
        await direct.keep(NAME, ID, WANTED, {})
        kept = await direct.keep(NAME, ID, replace(WANTED, users=WANTED.users[:1]), {})
        after = await standing(watched.admin, NAME, TOPICS)
        await direct.revoke(NAME)
        still = await standing(watched.admin, "acme-2", ["acme-2.events"])
        await direct.revoke("acme-2")
        await direct.drop("acme-2", ["acme-2.events", "acme-2.crm.dead"])
        return kept, after, theirs, still

    kept, after, theirs, still = run(fewer)
    assert "Took the user 'acme.crm' away." in kept.changed
    assert [*after["passwords"]] == ["acme-ingest"]
    assert {acl.principal for acl in after["acls"]} == {"User:acme-ingest"}
    assert still == theirs


def test_rights_and_quotas_of_users_that_cannot_log_in_are_found_too(
    run: Run, cluster: Cluster
) -> None:
    allow(cluster, "acme.ghost", "acme.events", WRITE)

    async def limited(watched: Watched) -> Any:
        await watched.admin.limit({(("user", "acme.spirit"),): {"producer_byte_rate": 1.0}})
        await keep(watched)
        return await standing(watched.admin, NAME, TOPICS)

    after = run(limited)
    assert {acl.principal for acl in after["acls"]} == {"User:acme-ingest", "User:acme.crm"}
    assert [*after["quotas"]] == [(("user", "acme-ingest"),)]


def test_a_producer_is_slowed_to_its_quota(run: Run, cluster: Cluster) -> None:
    kept = run(lambda watched: keep(watched, wanted(NAME, {"events": 1}, {}, produce_bytes=1000)))
    slowed: list[Any] = []
    settings = cluster.settings("acme-ingest", kept.passwords["acme-ingest"])
    producer = Producer({**settings, "throttle_cb": slowed.append, "linger.ms": 0})

    def told() -> bool:
        producer.produce("acme.events", b"x" * 1000)
        producer.poll(0.01)
        return bool(slowed)

    wait_until(told, "the broker slows it")
    assert slowed[0].throttle_time > 0
    producer.purge()
    producer.flush(10)
    producer.close()


def test_topics_stay_until_they_are_dropped_and_gone_already_is_fine(run: Run) -> None:
    async def dropped(watched: Watched) -> Any:
        direct = watched.direct()
        first = await direct.keep(NAME, ID, WANTED, {})
        await direct.revoke(NAME)
        await direct.release(NAME, TOPICS)
        assert await direct.topic_ids(TOPICS) == first.topic_ids
        await direct.drop(NAME, TOPICS[:1])
        await direct.drop(NAME, TOPICS)
        return await direct.topic_ids(TOPICS)

    assert run(dropped) == {}


class Lagging(Watched):
    """Kafka's controller answers before every broker has heard of it: two looks later, here."""

    looks = 0

    async def topic_ids(self, names: Sequence[str]) -> dict[str, str]:
        found = await self.admin.topic_ids(names)
        self.looks += "delete" in self.wrote
        return found if self.looks > 2 else found | dict.fromkeys(names, "an id")


def test_a_topic_is_dropped_once_kafka_shows_it_no_more(run: Run) -> None:
    async def looked(watched: Watched) -> int:
        await keep(watched)
        lagging = Lagging(watched.admin)
        await lagging.direct().drop(NAME, TOPICS)
        return lagging.looks

    assert run(looked) == 3


def test_the_operators_own_user_is_never_removed(cluster: Cluster, tmp_path: Path) -> None:
    set_password(cluster, "acme.operator", "own")
    allow_cluster(cluster, "acme.operator", *CLUSTER)

    async def revoked() -> Any:
        admin = Admin(access(cluster, tmp_path, "acme.operator", "own"))
        await Watched(admin).direct().revoke(NAME)
        found = await standing(admin, NAME, [])
        await admin.close()
        return found

    assert [*asyncio.run(revoked())["passwords"]] == ["acme.operator"]


def set_config(cluster: Cluster, topic: str, key: str, value: str) -> None:
    entry = ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin = cluster.admin()
    for done in admin.incremental_alter_configs([resource]).values():
        done.result(20)
