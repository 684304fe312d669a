"""
The program `trackmate-consume` against real brokers: it moves what is in Kafka to the sink, shares
with others, follows its files, says how it is, and nothing is lost whatever ends it.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from consuming import Consuming, check, consuming, start
from kafka_broker import Cluster, kafka_brokers
from kafka_users import allow_consume, allow_group, set_password
from receiver import Answer, Receiver, Request, receiving
from trackmate_contract.record import Stamp, to_headers
from waiting_for import wait_until

pytestmark = [pytest.mark.needs("kafka"), pytest.mark.timeout(240)]

PARTITIONS = 4
numbers = count()
Settings = dict[str, Any]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with kafka_brokers(secured=True) as cluster:
        yield cluster


@pytest.fixture
def affiliate(cluster: Cluster) -> str:
    """One of the test's own, with topics and a user of its name for the pipeline `crm`."""
    name = f"acme-{next(numbers)}"
    cluster.create(f"{name}.events", partitions=PARTITIONS)
    cluster.create(f"{name}.crm.dead", partitions=1)
    set_password(cluster, name, "secret-0")
    allow_consume(cluster, name, name, "crm", "events")
    return name


@pytest.fixture
def backend() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def settings(cluster: Cluster, affiliate: str, backend: Receiver, tmp_path: Path) -> Settings:
    password = tmp_path / "password"
    password.write_text("secret-0\n")
    return {
        "affiliate": affiliate,
        "pipeline": "crm",
        "spec": {"stream": "events", "sink": {"http": {"url": backend.url}}},
        "kafka": {
            "bootstrapServers": cluster.bootstrap,
            "sasl": {"username": affiliate, "passwordFile": str(password)},
        },
        "allowedNetworks": ["127.0.0.0/8"],
    }


def produce(cluster: Cluster, affiliate: str, first: int, amount: int) -> list[bytes]:
    producer = Producer({**cluster.settings(), "linger.ms": 5})
    values = [b'{"n":  %d}' % number for number in range(first, first + amount)]
    for number, value in enumerate(values, first):
        headers: list[Any] = [*to_headers(f"id-{number}", Stamp(1_795_000_000_000, "web"))]
        producer.produce(
            f"{affiliate}.events", value, b"%d" % number, number % PARTITIONS, headers=headers
        )
    assert producer.flush(30) == 0
    producer.close()
    return values


def came(backend: Receiver, values: list[bytes]) -> Callable[[], bool]:
    return lambda: {request.body for request in list(backend.requests)} >= set(values)


def counted(program: Consuming, term: str) -> float:
    return program.metric("trackmate_pipeline_events_total", term=term)


def is_ready(program: Consuming) -> bool:
    return program.ready()[0]


def test_events_reach_the_sink_and_a_restart_repeats_none(
    cluster: Cluster, affiliate: str, *, backend: Receiver, settings: Settings, tmp_path: Path
) -> None:
    first = produce(cluster, affiliate, 0, 50)
    with consuming(tmp_path, settings) as program:
        wait_until(came(backend, first), "all came")
        wait_until(lambda: counted(program, "delivered") == 50, "all are in the books")
        assert program.healthy()
        assert program.ready() == (True, "")
        assert program.metric("trackmate_pipeline_in_flight") == 0
    second = produce(cluster, affiliate, 50, 50)
    with consuming(tmp_path, settings) as program:
        wait_until(came(backend, second), "the rest came")
        wait_until(lambda: counted(program, "delivered") == 100, "the books go on")
    assert sorted(request.body for request in backend.requests) == sorted(first + second)


def test_who_is_told_to_end_has_left_the_group_so_that_others_need_not_wait_for_it(
    cluster: Cluster, affiliate: str, settings: Settings, tmp_path: Path
) -> None:
    admin, group = cluster.admin(), f"{affiliate}.crm"

    def members() -> int:
        described = admin.describe_consumer_groups([group])[group].result(10)
        return len(described.members)

    produce(cluster, affiliate, 0, 10)
    program = start(tmp_path, settings)
    wait_until(lambda: counted(program, "delivered") == 10, "it works")
    assert members() == 1
    assert program.stop() == 0
    assert members() == 0


def test_two_share_a_pipeline_and_one_that_is_killed_loses_nothing(
    cluster: Cluster, affiliate: str, *, backend: Receiver, settings: Settings, tmp_path: Path
) -> None:
    with consuming(tmp_path, settings, name="one") as stays:
        killed = start(tmp_path, settings, name="two")
        values = produce(cluster, affiliate, 0, 400)
        wait_until(lambda: counted(killed, "delivered") > 0, "the other one moves some")
        killed.kill()
        values += produce(cluster, affiliate, 400, 100)
        wait_until(came(backend, values), "all came", seconds=60)
        wait_until(lambda: counted(stays, "delivered") == 500, "the books are whole", seconds=60)


def test_a_pause_in_the_file_holds_and_its_end_lets_go(
    cluster: Cluster, affiliate: str, *, backend: Receiver, settings: Settings, tmp_path: Path
) -> None:
    paused = {**settings, "paused": "the CRM moves house"}
    with consuming(tmp_path, paused) as program:
        values = produce(cluster, affiliate, 0, 20)
        wait_until(lambda: program.metric("trackmate_pipeline_in_flight") == 20, "they wait for it")
        assert program.ready() == (False, "Paused: the CRM moves house")
        assert program.healthy(), "who is paused knows why it does nothing"
        assert backend.requests == []
        program.change(paused="")
        wait_until(came(backend, values), "it goes on")


def test_a_pause_because_of_a_storm_holds_over_a_crash_until_somebody_resumes(
    cluster: Cluster, affiliate: str, *, backend: Receiver, settings: Settings, tmp_path: Path
) -> None:
    http = {"http": {"url": backend.url}}
    program = start(
        tmp_path, {**settings, "spec": {"stream": "events", "filter": "event.n", "sink": http}}
    )
    produce(cluster, affiliate, 0, 400)
    wait_until(lambda: "Paused" in program.ready()[1], "the storm pauses it")
    said = program.ready()[1]
    program.kill()

    mended = produce(cluster, affiliate, 400, 20)
    with consuming(tmp_path, settings) as program:
        wait_until(lambda: program.ready()[1].startswith("Paused: "), "it is told so")
        wait_until(lambda: program.partitions() == set("0123"), "it has its partitions")
        assert program.ready() == (False, said)
        assert "became dead letters; mend the pipeline, then resume it" in said
        assert backend.requests == []
        program.change(resumed="the filter is mended")
        wait_until(came(backend, mended), "it goes on")
    with consuming(tmp_path, {**settings, "resumed": "the filter is mended"}) as program:
        wait_until(
            came(backend, produce(cluster, affiliate, 420, 20)), "the next one is not paused"
        )


def test_another_spec_is_taken_over_and_a_faulty_one_is_said_and_not(
    cluster: Cluster, affiliate: str, *, backend: Receiver, settings: Settings, tmp_path: Path
) -> None:
    http = {"http": {"url": backend.url}}
    with consuming(tmp_path, settings) as program:
        program.change(spec={"stream": "events", "sink": {}})
        wait_until(lambda: "what was in force stays" in program.log, "the fault is said")
        wait_until(came(backend, produce(cluster, affiliate, 0, 8)), "it works on")
        program.change(spec={"stream": "events", "filter": "event.n > 11", "sink": http})
        wait_until(lambda: "taken over" in program.log, "the change is followed")
        wait_until(came(backend, produce(cluster, affiliate, 12, 8)), "the new ones come")
        produce(cluster, affiliate, 8, 4)
        wait_until(lambda: counted(program, "filtered") == 4, "the filter is in force")


def test_a_password_that_changes_under_load_loses_nothing(
    cluster: Cluster, affiliate: str, *, backend: Receiver, settings: Settings, tmp_path: Path
) -> None:
    values: list[bytes] = []
    with consuming(tmp_path, settings) as program:
        for number in range(1, 4):
            values += produce(cluster, affiliate, len(values), 100)
            (tmp_path / "password").write_text(f"secret-{number}\n")
            set_password(cluster, affiliate, f"secret-{number}")
            wait_until(lambda: program.log.count("taken over") >= number, "it is taken over")  # noqa: B023 - called at once
        wait_until(came(backend, values), "all came")
    with consuming(tmp_path, settings) as program:  # the old password is worth nothing now
        values += produce(cluster, affiliate, len(values), 10)
        wait_until(came(backend, values), "the rest came")


def test_without_its_dead_letter_topic_it_says_so_lives_on_and_heals(
    cluster: Cluster, affiliate: str, *, backend: Receiver, settings: Settings, tmp_path: Path
) -> None:
    dead = f"{affiliate}.crm.dead"
    cluster.delete(dead)
    values = produce(cluster, affiliate, 0, 20)
    with consuming(tmp_path, settings) as program:
        cure = f"Kafka has no topic '{dead}'; make it, with 1 partition"
        wait_until(lambda: cure in program.ready()[1], "it says what is missing", seconds=40)
        assert counted(program, "delivered") == 0, "nothing is committed without it"
        assert program.healthy(), "who knows why nothing moves is not started again"
        cluster.create(dead, partitions=1)
        wait_until(lambda: counted(program, "delivered") == 20, "it goes on", seconds=60)
        wait_until(lambda: is_ready(program), "it is ready")
    assert sorted(request.body for request in backend.requests) == sorted(values)


def test_what_the_sink_refuses_is_a_dead_letter_that_a_replay_sends(
    cluster: Cluster, affiliate: str, *, backend: Receiver, settings: Settings, tmp_path: Path
) -> None:
    http = {"http": {"url": backend.url}}
    spec = {"stream": "events", "sink": http, "delivery": {"retry": {"for": "1s"}}}
    poison = b'{"n":  3}'

    def answering(request: Request) -> Answer:
        return Answer(422) if request.body == poison else Answer()

    backend.answering = answering
    with consuming(tmp_path, {**settings, "spec": spec}) as program:
        produce(cluster, affiliate, 0, 8)
        others = count(8)

        def is_dead() -> bool:  # while the sink takes others
            produce(cluster, affiliate, next(others), 1)
            return counted(program, "dead") == 1

        wait_until(is_dead, "it is put aside", seconds=40)
        backend.answering = lambda _: Answer()
        program.change(spec={**spec, "replay": {"id": "fix-1", "only": "DeadLetters"}})
        wait_until(lambda: [r.body for r in backend.requests][-1:] == [poison], "it is sent again")


def test_a_topic_that_is_not_there_is_said_and_healed_by_itself(
    cluster: Cluster, affiliate: str, *, backend: Receiver, settings: Settings, tmp_path: Path
) -> None:
    allow_consume(cluster, affiliate, affiliate, "crm", "later")
    spec = {"stream": "later", "sink": {"http": {"url": backend.url}}}
    told = f"SourceDown: Kafka has no topic {affiliate}.later; make it, or name another stream"
    with consuming(tmp_path, {**settings, "spec": spec}) as program:
        wait_until(lambda: program.ready() == (False, told), "it is said", seconds=40)
        cluster.create(f"{affiliate}.later", partitions=1)
        wait_until(partial(is_ready, program), "it heals by itself", seconds=60)


def test_a_revoked_right_is_said_with_its_cure(
    cluster: Cluster, affiliate: str, *, settings: Settings, tmp_path: Path
) -> None:
    set_password(cluster, "stranger", "secret-0")
    settings["kafka"]["sasl"]["username"] = "stranger"
    with consuming(tmp_path, settings) as program:
        wait_until(lambda: "allow it Read" in program.ready()[1], "it is said", seconds=40)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({}, "All is right: the settings, the way to Kafka and its topics (events), and the sink"),
        ({"pipeline": "erp"}, "Kafka does not let its user use topic"),
        ({"spec": {"stream": "gone", "sink": {"stdout": {}}}}, "allow it Read and Describe on it"),
        (
            {"spec": {"stream": "events", "transform": {"jq": "foo"}, "sink": {"stdout": {}}}},
            "spec.transform.jq: line 1, column 1: foo/0 is not defined",
        ),
        (
            {"spec": {"stream": "events", "sink": {"http": {"url": "http://127.0.0.1:1"}}}},
            "All is right",
        ),
        ({"kafka": {"bootstrapServers": "127.0.0.1:1"}}, "127.0.0.1:1 cannot be reached"),
        ({"affilate": "acme"}, "unknown field 'affilate'; did you mean 'affiliate'?"),
    ],
)
def test_the_check_says_what_is_wrong(
    settings: Settings, tmp_path: Path, change: Settings, told: str
) -> None:
    done = check(tmp_path, {**settings, **change})

    assert told in done.stdout + done.stderr
    assert done.returncode == (0 if told.startswith("All") else 1)


def test_the_check_says_that_a_password_is_wrong(
    affiliate: str, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "password").write_text("wrong")

    done = check(tmp_path, settings)

    assert f"Kafka does not take the user '{affiliate}' with the password of" in done.stderr
    assert "wrong" not in done.stderr


def test_the_check_says_which_group_may_not_be_joined(
    cluster: Cluster, affiliate: str, *, settings: Settings, tmp_path: Path
) -> None:
    set_password(cluster, "half", "secret-0")
    allow_consume(cluster, "half", affiliate, "other", "events")
    allow_group(cluster, "half", "unrelated")
    settings["kafka"]["sasl"]["username"] = "half"
    settings["pipeline"] = "crm"
    allow_consume(cluster, "half", affiliate, "none", "events")

    done = check(tmp_path, settings)

    assert done.returncode == 1
    assert f"{affiliate}.crm.dead" in done.stderr
    assert f"join the group '{affiliate}.crm'; allow it Read on it" in done.stderr
