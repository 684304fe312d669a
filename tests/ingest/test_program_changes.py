"""
What changes while `trackmate-ingest` runs: keys, the spec, credentials and topics, with files that
Kubernetes swaps under it. What is faulty is said once, and what was in force stays so.
"""

import asyncio
import itertools
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
import yaml
from confluent_kafka.admin import (
    AclOperation,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from ingest_program import KEYS, SPEC, Program, key, prepared, serving, start_on
from kafka_broker import Cluster, kafka_brokers
from kafka_users import allow, set_password
from loopback import LOOPBACK
from mix import mix
from oracle import compare_log
from traffic import UNKNOWN, Ledger, Load, Outcome
from waiting_for import wait_until

pytestmark = [pytest.mark.needs("kafka"), pytest.mark.timeout(180)]

USER = "acme-ingest"
ROTATIONS = 5
_passwords = (f"password-of-kafka-{number}" for number in itertools.count())


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with kafka_brokers(secured=True) as cluster:
        cluster.create("acme.events", "acme.images", "acme.later", "acme.faulty")
        for topic in ("events", "images", "later", "faulty", "never"):
            operations = (AclOperation.WRITE, AclOperation.DESCRIBE_CONFIGS)
            allow(cluster, USER, f"acme.{topic}", *operations)
        yield cluster


@pytest.fixture
def program(cluster: Cluster, tmp_path: Path) -> Iterator[Program]:
    password = next(_passwords)
    set_password(cluster, USER, password)
    with serving(tmp_path, cluster, user=(USER, password), workers=2) as program:
        yield program


def post(program: Program, body: bytes = b"{}", *, key: str = "", stream: str = "events") -> int:
    headers = {
        "Authorization": f"Bearer {key or program.key('server')}",
        "Content-Type": "application/json",
    }
    url = f"{program.url}/v1/events?stream={stream}"
    return httpx.post(url, content=body, headers=headers, **LOOPBACK, timeout=30).status_code


def restart(cluster: Cluster) -> None:
    cluster.brokers[0].stop()
    cluster.brokers[0].start()
    cluster.wait()


def everywhere(program: Program, body: bytes = b"{}", **how: str) -> set[int]:
    """The answers on many connections: of both workers, that is."""
    return {post(program, body, **how) for _ in range(20)}


def test_keys_come_and_go_and_two_values_of_one_live_side_by_side(program: Program) -> None:
    assert everywhere(program, key="tmw_server_2") == {401}

    program.change_keys([*KEYS, key("server", value="tmw_server_2")])
    assert everywhere(program, key="tmw_server_2") == {200}
    assert everywhere(program, key="tmw_server") == {200}

    program.change_keys([key("server", value="tmw_server_2")])
    assert everywhere(program, key="tmw_server_2") == {200}
    assert everywhere(program, key="tmw_server") == {401}


def test_all_keys_can_be_taken_back_at_once(program: Program) -> None:
    program.change_keys([])

    assert everywhere(program, key="tmw_server") == {401}


def test_limits_and_streams_of_the_spec_are_taken_over(program: Program) -> None:
    large = b'"%b"' % (b"x" * 3000)
    assert everywhere(program, large) == {200}
    assert everywhere(program, stream="later") == {403}

    limits = {"eventBytes": "1Ki"}
    streams = [*SPEC["streams"], {"name": "later"}]
    ingest = {"hosts": ["acme.track.example.com"], "limits": limits}
    program.change_settings(spec={"streams": streams, "ingest": ingest})

    assert everywhere(program, large) == {413}
    assert everywhere(program, stream="later") == {200}


def test_hosts_of_the_spec_are_taken_over(program: Program) -> None:
    def answer(host: str) -> int:
        headers = {"Host": host, "Authorization": f"Bearer {program.key('server')}"}
        url = f"{program.url}/v1/events"
        return httpx.post(url, content=b"{}", headers=headers, **LOOPBACK).status_code

    assert answer("acme.track.example.com") == 200
    assert answer("new.track.example.com") == 421

    program.change_settings(spec={**SPEC, "ingest": {"hosts": ["new.track.example.com"]}})

    assert answer("acme.track.example.com") == 421
    assert answer("new.track.example.com") == 200


def test_rates_are_shared_out_among_the_workers(program: Program) -> None:
    ingest = {"hosts": ["acme.track.example.com"], "limits": {"requestsPerSecond": 2}}
    program.change_settings(spec={**SPEC, "ingest": ingest})

    answers = [post(program) for _ in range(30)]

    assert answers.count(200) >= 1
    assert answers.count(429) > answers.count(200)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("settings.yaml", "affiliate: ["),
        ("settings.yaml", "affiliate: acme"),
        ("keys.json", '[{"name":'),
        ("password", ""),
    ],
)
def test_a_faulty_file_is_said_once_and_what_was_in_force_stays(
    program: Program, file: str, text: str
) -> None:
    def said() -> list[dict[str, Any]]:
        return program.said("the files are faulty, and what was in force stays")

    right = Path(program.files.path(file)).read_text("utf-8")

    program.files.write({file: text})
    wait_until(said, "the fault is said")
    assert everywhere(program) == {200}
    program.files.write({file: text})
    program.files.write({file: right})
    program.change_keys([*KEYS, key("another")])

    assert everywhere(program, key="tmw_another") == {200}
    [fault] = said()
    assert fault["level"] == "error"
    assert "tmw_" not in fault["detail"]


def test_what_needs_a_restart_is_said(program: Program) -> None:
    program.change_settings(workers=4, drain="2s")
    program.change_settings(drain="3s")

    [said] = program.said("taken over at the next start only")
    assert said["detail"] == "workers"
    assert len(program.workers()) == 2


def test_passwords_that_change_under_load_lose_nothing_and_refuse_nothing(
    cluster: Cluster, program: Program
) -> None:
    ledger = Ledger()

    async def scenario() -> None:
        load = Load(program.url, program.key("server"), ledger)
        load.begin(mix(1), connections=4)
        for _ in range(ROTATIONS):
            before = ledger.count(Outcome.OK)
            await load.until(lambda it, b=before: it.count(Outcome.OK) > b + 50, what="more")  # type: ignore[misc]
            password = next(_passwords)
            await asyncio.to_thread(set_password, cluster, USER, password)
            await asyncio.to_thread(program.change, {"password": password})
        before = ledger.count(Outcome.OK)
        await load.until(lambda it: it.count(Outcome.OK) > before + 50, what="the last password")
        load.stop()
        await load.ended()

    asyncio.run(scenario())

    assert [attempt for attempt in ledger.attempts if attempt.outcome in UNKNOWN] == []
    assert len(program.said("taken over")) == ROTATIONS
    log = [one for one in program.tail() if one.id.startswith("s1-")]
    assert not list(compare_log(ledger, log))


def test_a_new_password_that_kafka_does_not_take_leaves_the_old_one_in_force(
    cluster: Cluster, program: Program
) -> None:
    what = "the new way to Kafka leads nowhere, and the old one stays in force"
    program.files.write({"password": "wrong-password"})
    wait_until(lambda: program.said(what), "the wrong password is said")

    assert everywhere(program) == {200}
    assert "does not take the user 'acme-ingest'" in program.said(what)[0]["detail"]
    set_password(cluster, USER, "right-password")
    program.change({"password": "right-password"})
    restart(cluster)  # which asks every connection for the password again
    assert everywhere(program) == {200}
    assert "wrong-password" not in program.log


def test_another_kafka_that_cannot_be_used_is_tried_on_and_said_once(program: Program) -> None:
    visits = 0
    what = "the new way to Kafka leads nowhere, and the old one stays in force"
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        kafka = {
            "bootstrapServers": f"127.0.0.1:{nobody.getsockname()[1]}",
            "tls": {},
        }
        program.files.write({"settings.yaml": yaml.safe_dump({**program.settings, "kafka": kafka})})
        nobody.settimeout(30)
        while visits < 3:
            nobody.accept()[0].close()
            visits += 1

    assert everywhere(program) == {200}
    [said] = program.said(what)
    assert "does not speak TLS" in said["detail"] or "cannot be reached" in said["detail"]


def set_most(cluster: Cluster, size: int) -> None:
    """Of a record in the topic."""
    entry = ConfigEntry("max.message.bytes", str(size), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, "acme.faulty", incremental_configs=[entry])
    admin = cluster.admin()
    for done in admin.incremental_alter_configs([resource]).values():
        done.result(timeout=20)


def test_nothing_is_taken_until_the_topics_keep_the_promise_and_then_it_is(
    cluster: Cluster, tmp_path: Path
) -> None:
    set_most(cluster, 2000)
    set_password(cluster, USER, "password-of-faulty")
    how: dict[str, Any] = {
        "user": (USER, "password-of-faulty"),
        "spec": {**SPEC, "streams": [{"name": "faulty"}]},
    }
    sentence = "Topic 'acme.faulty' takes batches of 2000 bytes at most, and events of 65536 may"
    with serving(tmp_path, cluster, ready=False, **how) as program:
        wait_until(lambda: sentence in program.readiness()[1], "the topic's fault is said")
        assert program.readiness()[0] == 503
        assert post(program, stream="faulty") == 503
        assert program.metrics()['trackmate_ingest_kafka_fault{affiliate="acme"}'] == 1

        set_most(cluster, 1_048_588)
        wait_until(lambda: program.readiness()[0] == 200, "it is ready by itself")
        assert post(program, stream="faulty") == 200

        set_most(cluster, 2000)
        program.change_settings(drain="2s")  # it looks again
        wait_until(lambda: sentence in program.readiness()[1], "the topic's fault is said again")
        assert program.readiness()[0] == 200, "who is ready stays so"
        assert post(program, stream="faulty") == 200
        assert program.metrics()["trackmate_ingest_topic_faults"] == 1


def test_without_kafka_it_starts_and_says_so_and_is_ready_once_there_is_one(
    tmp_path: Path,
) -> None:
    with kafka_brokers() as cluster:
        cluster.create("acme.events", "acme.images")
        cluster.brokers[0].stop()
        with serving(tmp_path, cluster, ready=False) as program:
            wait_until(lambda: "cannot be reached" in program.readiness()[1], "it is said")
            assert program.readiness()[0] == 503
            cluster.brokers[0].start()
            wait_until(lambda: program.readiness()[0] == 200, "it is ready", seconds=60)
            assert post(program) == 200

            cluster.brokers[0].kill()
            assert post(program) == 503
            assert program.readiness()[0] == 200, "an outage of Kafka makes nobody unready"


def test_the_file_of_keys_of_a_running_dev_is_taken(program: Program) -> None:
    listed: list[dict[str, Any]] = [
        {
            "name": "server",
            "key": "tmw_from_dev",
            "use": "Server",
            "created": "2026-11-27T10:00:00.123Z",
            "expires": None,
            "origins": [],
        }
    ]
    program.change({"keys.json": json.dumps(listed)})

    assert everywhere(program, key="tmw_from_dev") == {200}


def test_authorities_change_while_it_runs(tmp_path: Path) -> None:
    """As a rotation does: the new one beside the old one, and then alone."""
    authority, other = trustme.CA(), trustme.CA()
    pems = [one.cert_pem.bytes().decode() for one in (authority, other)]
    with kafka_brokers(secured=True, authority=authority) as cluster:
        cluster.create("acme.events")
        allow(cluster, USER, "acme.events", AclOperation.WRITE, AclOperation.DESCRIBE_CONFIGS)
        set_password(cluster, USER, "password-over-tls")
        how: dict[str, Any] = {"spec": {**SPEC, "streams": [{"name": "events"}]}}
        files, settings = prepared(tmp_path, cluster, user=(USER, "password-over-tls"), **how)
        settings["kafka"]["tls"] = {"caFile": files.path("ca.pem")}
        files.write({"ca.pem": pems[0], "settings.yaml": yaml.safe_dump(settings)})
        program = start_on(tmp_path, cluster, files, settings, KEYS)
        try:
            assert everywhere(program) == {200}
            program.change({"ca.pem": "".join(pems)})
            assert everywhere(program) == {200}

            program.files.write({"ca.pem": pems[1]})
            what = "the new way to Kafka leads nowhere, and the old one stays in force"
            wait_until(lambda: program.said(what), "the other authority is refused")
            assert "certificate that cannot be accepted" in program.said(what)[0]["detail"]
            assert everywhere(program) == {200}
            assert program.stop() == 0, program.log
        finally:
            program.kill_what_is_left()
