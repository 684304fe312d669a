"""
The worker processes of `trackmate-ingest`: one that dies is replaced while its siblings serve on,
what they counted is one sum, and none outlives the program.
"""

import asyncio
import os
import resource
import select
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import uvloop

import wire
from ingest_program import Program, prepared, serving, start
from kafka_broker import Cluster, kafka_brokers
from loopback import LOOPBACK
from mix import mix
from mock_kafka import MockKafka, mock_kafka
from oracle import compare_log
from processes import connections, runs
from trackmate_ingest import workers
from trackmate_ingest.channel import InForce
from trackmate_ingest.configuration import load
from trackmate_ingest.server import QUIET_SECONDS
from trackmate_ingest.workers import Workers
from traffic import UNKNOWN, Ledger, Load, Outcome
from waiting_for import wait_until

CONNECTIONS = 16


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with kafka_brokers() as cluster:
        cluster.create("acme.events", "acme.images")
        yield cluster


def serving_now(program: Program) -> float:
    return program.metrics()["trackmate_ingest_workers"]


async def answered(load: Load, more: int) -> None:
    """Until so many more requests were answered."""
    enough = load.ledger.count(Outcome.OK) + more
    await load.until(lambda it: it.count(Outcome.OK) >= enough, what="more answers")


@pytest.mark.needs("kafka")
def test_a_worker_that_is_killed_is_replaced_and_its_siblings_serve_on(
    cluster: Cluster, tmp_path: Path
) -> None:
    def clients(pid: int) -> int:
        return connections(pid, port)

    async def scenario() -> None:
        load = Load(program.url, program.key("server"), ledger)
        requests = mix(1)
        load.begin(requests, connections=CONNECTIONS)
        await answered(load, 200)
        while not all(map(clients, program.workers())):  # one worker may have taken all of them
            load.begin(requests, connections=1)
            await answered(load, 20)
        dying = max(program.workers(), key=clients)
        held.append(clients(dying))
        os.kill(dying, signal.SIGKILL)
        killed.append(dying)
        await answered(load, 200)
        await asyncio.to_thread(wait_until, lambda: serving_now(program) == 2, "another")
        load.stop()
        await load.ended()

    ledger = Ledger()
    killed: list[int] = []
    held: list[int] = []
    with serving(tmp_path, cluster, workers=2) as program:
        port = urlsplit(program.url).port or 0
        wait_until(lambda: serving_now(program) == 2, "both serve")
        asyncio.run(scenario())

        assert 0 < ledger.count(*UNKNOWN) <= held[0], "of the one that was killed, and no others"
        assert ledger.refused_connections == 0
        assert not set(killed) & set(program.workers())
        assert [one["code"] for one in program.said("worker ended, another takes its place")] == [
            -9
        ]
        log = [one for one in program.tail() if one.id.startswith("s1-")]
        assert not list(compare_log(ledger, log))
        metrics = program.metrics()
        assert metrics["trackmate_ingest_workers_replaced_total"] == 1


@pytest.mark.needs("kafka")
def test_a_worker_that_cannot_be_started_is_tried_again_until_it_can(
    cluster: Cluster, tmp_path: Path
) -> None:
    """As where no memory, no process or no open file is left for a while."""
    with serving(tmp_path, cluster, workers=2) as program:
        wait_until(lambda: serving_now(program) == 2, "both serve")
        limits = resource.prlimit(program.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(program.process.pid, resource.RLIMIT_NOFILE, (3, limits[1]))
        os.kill(program.workers()[0], signal.SIGKILL)
        wait_until(lambda: program.said("worker not started"), "it is said")
        resource.prlimit(program.process.pid, resource.RLIMIT_NOFILE, limits)
        wait_until(lambda: serving_now(program) == 2, "another takes its place")
        [why, *_] = program.said("worker not started")
        assert why["error"] == "[Errno 24] Too many open files"


def counted(program: Program) -> float:
    samples = program.metrics().items()
    return sum(value for name, value in samples if name.startswith("trackmate_ingest_events_total"))


@pytest.mark.needs("kafka")
def test_what_the_workers_counted_is_one_sum_that_never_goes_back(
    cluster: Cluster, tmp_path: Path
) -> None:
    def post(number: int) -> None:
        for _ in range(number):  # each on a connection of its own, to whichever worker
            program.post({}, {})

    with serving(tmp_path, cluster, workers=2) as program:
        wait_until(lambda: serving_now(program) == 2, "both serve")
        post(20)
        assert counted(program) == 40
        for pid in program.workers():
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: program.metrics()["trackmate_ingest_workers_replaced_total"] == 2, "new")
        wait_until(lambda: serving_now(program) == 2, "they serve")
        assert counted(program) == 40
        post(1)
        assert counted(program) == 42


@pytest.mark.needs("kafka")
def test_workers_end_with_the_program_that_started_them(cluster: Cluster, tmp_path: Path) -> None:
    program = start(tmp_path, cluster, workers=2)
    try:
        pids = program.workers()
        program.process.kill()
        program.process.wait()
        wait_until(lambda: not any(map(runs, pids)), "they end by themselves")
        with pytest.raises(httpx.ConnectError):
            httpx.get(program.url, **LOOPBACK)
    finally:
        program.kill_what_is_left()


@pytest.mark.needs("kafka")
def test_a_second_signal_ends_it_at_once(cluster: Cluster, tmp_path: Path) -> None:
    program = start(tmp_path, cluster, workers=2, drain="5m")
    try:
        pids = program.workers()
        with wire.connect(program) as half:
            half.sendall(b"POST /v1/events HTTP/1.1\r\n")
            wire.exchange(program, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            program.process.terminate()
            wait_until(lambda: program.readiness()[0] == 503, "it drains")
            assert program.process.poll() is None
            program.process.terminate()
            assert program.process.wait(timeout=20) == 1
        wait_until(lambda: not any(map(runs, pids)), "no worker is left")
    finally:
        program.kill_what_is_left()


@pytest.mark.needs("kafka")
def test_a_port_that_is_taken_is_said(cluster: Cluster, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(AssertionError) as ended:
            start(tmp_path, cluster, listen={"host": "127.0.0.1", "port": port})

    assert f"listen: 127.0.0.1:{port} cannot be used (Address already in use); name" in str(
        ended.value
    )


@pytest.fixture
def mock() -> Iterator[MockKafka]:
    with mock_kafka("acme.events") as cluster:
        yield cluster


class Alone:
    """As much of a cluster as files of a program need."""

    brokers = (None,)

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap


def test_a_worker_whose_loop_does_not_turn_is_replaced(
    mock: MockKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "_SILENT", 8)  # a busy machine is slow to answer too
    files, _ = prepared(tmp_path, Alone(mock.bootstrap))  # type: ignore[arg-type]
    configuration = load(Path(files.path("settings.yaml")), {})

    async def scenario() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            running = Workers(2, listener, InForce(configuration, "", ""))
            running.start()
            try:
                async with asyncio.timeout(120):
                    while running.serving < 2:  # noqa: ASYNC110 - it has no event
                        await asyncio.sleep(0.05)
                    [stopped, _] = running.pids
                    os.kill(stopped, signal.SIGSTOP)
                    while running.replaced == 0 or running.serving < 2:  # noqa: ASYNC110 - ditto
                        await asyncio.sleep(0.05)
                assert stopped not in running.pids
            finally:
                ended_well = await running.drain(1)
            assert ended_well

    uvloop.run(scenario())


@pytest.mark.needs("kafka")
def test_what_kafka_has_not_acknowledged_when_a_drain_ends_is_answered_503(
    cluster: Cluster, tmp_path: Path
) -> None:
    [broker] = cluster.brokers
    program = start(tmp_path, cluster, drain="1s")
    try:
        program.post({})
        broker.signal(signal.SIGSTOP)
        headers = (f"Authorization: Bearer {program.key('server')}", "Content-Type: text/plain")
        with wire.connect(program) as waiting:
            waiting.sendall(wire.request("/v1/events", *headers, body=b"{}"))
            wait_until(
                lambda: program.metrics()['trackmate_ingest_kafka_queue_events{affiliate="acme"}'],
                "it waits for Kafka",
            )
            program.process.terminate()
            reply = wire.receive(waiting)
        assert (reply.status, reply.headers["connection"]) == (503, "close")
        assert "retry-after" in reply.headers
        assert program.process.wait(timeout=30) == 0, program.log
    finally:
        broker.signal(signal.SIGCONT)
        program.kill_what_is_left()


@pytest.mark.needs("kafka")
def test_a_signal_while_it_starts_leaves_nothing_behind(cluster: Cluster, tmp_path: Path) -> None:
    program = start(tmp_path, cluster, ready=False, workers=3)
    pids = program.workers()
    try:
        assert program.stop() == 0, program.log
        wait_until(lambda: not any(map(runs, pids)), "no worker is left")
    finally:
        program.kill_what_is_left()


@pytest.mark.needs("kafka")
def test_a_worker_that_is_quiet_closes_no_door_while_another_is_busy(
    cluster: Cluster, tmp_path: Path
) -> None:
    program = start(tmp_path, cluster, workers=2, drain="5m")
    try:
        wait_until(lambda: serving_now(program) == 2, "both serve")
        whole = wire.request("/healthz", host="localhost")
        with wire.connect(program) as half:
            half.sendall(whole[:20])
            program.process.terminate()
            wait_until(lambda: program.readiness()[0] == 503, "it drains")
            ended, _, _ = select.select([half], [], [], 4 * QUIET_SECONDS)  # nobody comes
            assert not ended
            with wire.connect(program) as newcomer:
                newcomer.sendall(wire.request("/v1/events"))
                assert wire.receive(newcomer).status == 401
            half.sendall(whole[20:])
            assert wire.receive(half).status == 405
        assert program.process.wait(timeout=30) == 0, program.log
    finally:
        program.kill_what_is_left()
