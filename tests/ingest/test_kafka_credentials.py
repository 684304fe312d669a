"""
Credentials on a broker that asks for them: a user whose password changes under load loses nothing
and is refused nothing; a wrong password is said and heals.
"""

import asyncio
import logging
from collections.abc import Iterator

import pytest
import uvloop
from confluent_kafka.admin import AclOperation

from kafka_broker import Cluster, kafka_brokers
from kafka_users import allow, set_password
from trackmate_contract.record import Event, Stamp
from trackmate_ingest import kafka_log
from trackmate_ingest.kafka_log import KafkaLog
from trackmate_ingest.log import Unavailable

pytestmark = [pytest.mark.needs("kafka"), pytest.mark.timeout(180)]

STAMP = Stamp(1_780_000_000_000, "web")
USER = "acme-ingest"
ROTATIONS = 20


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with kafka_brokers(secured=True) as cluster:
        cluster.create("acme.events", "globex.events")
        allow(cluster, USER, "acme.events", AclOperation.WRITE)
        yield cluster


def event(number: int) -> Event:
    return Event(f"id-{number}", "ann", b"%d" % number)


def test_passwords_that_change_under_load_lose_nothing_and_refuse_nothing(
    cluster: Cluster,
) -> None:
    set_password(cluster, USER, "password-0")

    async def scenario() -> tuple[int, int]:
        log = KafkaLog("acme", cluster.settings(USER, "password-0"))
        enough = asyncio.Event()
        stored = 0

        async def send_on() -> None:
            nonlocal stored
            while not enough.is_set():
                await log.append("events", STAMP, [event(stored)])
                stored += 1

        async def more(events: int) -> None:
            """Of the new password: four senders have four with the old one at most."""
            before = stored
            while stored < before + events:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.01)

        async with asyncio.TaskGroup() as senders:
            for _ in range(4):
                senders.create_task(send_on())
            await more(20)
            for number in range(1, ROTATIONS + 1):
                await asyncio.to_thread(set_password, cluster, USER, f"password-{number}")
                log.renew(cluster.settings(USER, f"password-{number}"))
                await more(20)
            enough.set()
        return stored, await log.close()

    stored, left = uvloop.run(scenario())

    assert stored >= 20 * ROTATIONS
    assert left == 0


def test_a_wrong_password_is_said_and_heals(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    set_password(cluster, USER, "right")
    short = {"delivery.timeout.ms": 3000, "socket.timeout.ms": 2000}
    monkeypatch.setattr(kafka_log, "PROMISES", {**kafka_log.PROMISES, **short})

    async def scenario() -> None:
        log = KafkaLog("acme", cluster.settings(USER, "wrong"))
        with pytest.raises(Unavailable, match="Kafka did not confirm in time"):
            await log.append("events", STAMP, [event(1)])
        log.renew(cluster.settings(USER, "right"))
        await log.append("events", STAMP, [event(1)])
        await log.close()

    with caplog.at_level(logging.WARNING, "trackmate.ingest"):
        uvloop.run(scenario())

    said = [entry.fields["error"] for entry in caplog.records if entry.message == "Kafka"]  # type: ignore[attr-defined]
    assert any("SASL authentication error" in one for one in said)
    assert not any("wrong" in one for one in said)


def test_another_affiliates_topic_is_refused(cluster: Cluster) -> None:
    set_password(cluster, USER, "right")

    async def scenario() -> str:
        log = KafkaLog("globex", cluster.settings(USER, "right"))
        with pytest.raises(Unavailable) as fault:
            await log.append("events", STAMP, [event(1)])
        await log.close()
        return str(fault.value)

    assert uvloop.run(scenario()) == "Kafka does not allow it to this user."
