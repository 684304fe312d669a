"""
A Kafka that does not answer, or does not let the operator in or do its work: a sentence that says
what, with the cure; and once it is mended, all goes on.
"""

import asyncio
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from kafka_broker import Cluster, kafka_brokers
from kafka_operating import Watched, access, wanted
from kafka_users import OPERATIONS, allow_cluster, allow_every_topic, set_password
from trackmate_operator.backend import Down
from trackmate_operator.kafka.admin import Admin
from trackmate_programs.kafka_access import Access

pytestmark = pytest.mark.needs("kafka")

NAME, ID = "acme", "af-1042"
WANTED = wanted(NAME, {"events": 1}, {"crm": "events"}, retention_ms="3600000")
OTHER = wanted(NAME, {"events": 2}, {"bi": "events"}, retention_ms="7200000")
TOPICS = ["acme.events", "acme.crm.dead", "acme.bi.dead"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with kafka_brokers(secured=True) as cluster:
        yield cluster


def test_brokers_that_are_down_are_said_and_it_goes_on_when_they_are_back(tmp_path: Path) -> None:
    with kafka_brokers(secured=True) as cluster:

        async def run() -> Any:
            admin = Admin(access(cluster, tmp_path))
            direct = Watched(admin).direct()
            first = await direct.keep(NAME, ID, WANTED, {})
            [broker] = cluster.brokers
            await asyncio.to_thread(broker.kill)
            with pytest.raises(Down) as kept:
                await direct.keep(NAME, ID, WANTED, first.passwords)
            with pytest.raises(Down) as asked:
                await direct.topic_ids(TOPICS)
            broker.start()
            await asyncio.to_thread(cluster.wait)
            again = await healed(direct, first.passwords)
            await admin.close()
            return cluster.brokers[0].port, [str(kept.value), str(asked.value)], first, again

        port, said, first, again = asyncio.run(run())
    sentence = (
        f"Kafka's 127.0.0.1:{port} cannot be reached (Connection refused); check "
        "kafka.bootstrapServers, and that the network lets us through."
    )
    assert said == [sentence, sentence]
    assert (again.changed, again.topic_ids) == ([], first.topic_ids)


async def healed(direct: Any, passwords: Any) -> Any:
    """librdkafka may need a moment to find the brokers again."""
    for _ in range(10):
        try:
            return await direct.keep(NAME, ID, WANTED, passwords)
        except Down:
            continue
    raise AssertionError("it does not heal")


def test_a_wrong_password_is_said_and_a_right_one_taken(cluster: Cluster, tmp_path: Path) -> None:
    async def run() -> list[str]:
        admin = Admin(access(cluster, tmp_path, password="guessed"))
        said = []
        for asking in (admin.passwords(None), admin.topics(["acme.events"])):
            with pytest.raises(Down) as down:
                await asking
            said.append(str(down.value))
        admin.renew(access(cluster, tmp_path))
        assert await admin.topics(["acme.events"]) == {}
        assert "admin" in await admin.passwords(None)
        await admin.close()
        return said

    for sentence in asyncio.run(run()):
        assert "Kafka does not take the user 'admin' with the password of" in sentence
        assert "guessed" not in sentence


def test_it_speaks_tls_and_takes_no_other_certificate(tmp_path: Path) -> None:
    authority, other = trustme.CA(), tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    with kafka_brokers(secured=True, authority=authority) as cluster:

        async def run() -> tuple[Any, list[str]]:
            admin = Admin(access(cluster, tmp_path))
            found = await admin.passwords(None), await admin.cluster_id()
            await admin.close()
            cluster.ca_file = other
            admin = Admin(access(cluster, tmp_path))
            said = []
            for asking in (admin.passwords(None), admin.topics(["acme.events"])):
                with pytest.raises(Down) as down:
                    await asking
                said.append(str(down.value))
            await admin.close()
            return found, said

        (users, cluster_id), said = asyncio.run(run())
    assert (users, bool(cluster_id)) == ({"admin": {2: 4096}}, True)
    assert all("shows a certificate that cannot be accepted" in one for one in said)


def test_a_kafka_that_asks_for_no_rights_is_said(tmp_path: Path) -> None:
    with kafka_brokers() as open_to_all, pytest.raises(Down) as down:
        asyncio.run(lived(access(open_to_all, tmp_path)))
    assert str(down.value) == (
        "Kafka has no authorizer, so that every user may do everything; set authorizer.class.name "
        "on its brokers and controllers."
    )


CLUSTER_RIGHTS = ("Alter", "AlterConfigs")
TOPIC_RIGHTS = ("Create", "Alter", "AlterConfigs", "Delete")
"""All that is needed: Alter and Delete imply Describe, and AlterConfigs DescribeConfigs."""
IMPLIED = ("Describe", "DescribeConfigs")


@pytest.fixture
def clean(cluster: Cluster) -> Iterator[None]:
    """A pass that lacks a right leaves what it made before."""
    yield
    cluster.empty()


@pytest.mark.usefixtures("clean")
def test_these_rights_are_enough(cluster: Cluster, tmp_path: Path) -> None:
    user = operator(cluster, tmp_path, "enough", CLUSTER_RIGHTS, TOPIC_RIGHTS)

    asyncio.run(lived(user))


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize("missing", CLUSTER_RIGHTS)
def test_a_missing_right_on_the_cluster_is_named(
    cluster: Cluster, tmp_path: Path, missing: str
) -> None:
    rights = {*CLUSTER_RIGHTS, *IMPLIED} - {missing}
    user = operator(cluster, tmp_path, f"cluster-{missing}", rights, TOPIC_RIGHTS)

    with pytest.raises(Down) as down:
        asyncio.run(lived(user))
    assert str(down.value) == (
        f"Kafka does not let the operator's user 'cluster-{missing}' do this; allow it {missing} "
        "on the cluster."
    )


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize("missing", TOPIC_RIGHTS)
def test_a_missing_right_on_topics_is_named(cluster: Cluster, tmp_path: Path, missing: str) -> None:
    rights = {*TOPIC_RIGHTS, *IMPLIED} - {missing}
    user = operator(cluster, tmp_path, f"topics-{missing}", CLUSTER_RIGHTS, rights)

    with pytest.raises(Down) as down:
        asyncio.run(lived(user))
    assert str(down.value) == (
        f"Kafka does not let the operator's user 'topics-{missing}' do this; allow it {missing} "
        "on all topics."
    )


def test_a_user_without_any_right_ends_nothing_but_its_own_call(
    cluster: Cluster, tmp_path: Path
) -> None:
    """librdkafka's own call for this ends the process."""
    user = operator(cluster, tmp_path, "nobody", (), ())

    with pytest.raises(Down, match="allow it Describe on the cluster"):
        asyncio.run(lived(user))


def operator(
    cluster: Cluster, folder: Path, name: str, on_cluster: Iterable[str], on_topics: Iterable[str]
) -> Access:
    set_password(cluster, name, "own")
    allow_cluster(cluster, name, *(OPERATIONS[one] for one in on_cluster))
    allow_every_topic(cluster, name, *(OPERATIONS[one] for one in on_topics))
    return access(cluster, folder, name, "own")


async def lived(user: Access) -> None:
    """All that is ever done, from nothing to nothing."""
    admin = Admin(user)
    direct = Watched(admin).direct()
    try:
        for what in (WANTED, OTHER):
            kept = await direct.keep(NAME, ID, what, {})
            assert (kept.faults, kept.awaited) == ({}, {})
        await direct.revoke(NAME)
        await direct.drop(NAME, TOPICS)
    finally:
        await admin.close()
