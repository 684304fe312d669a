"""
The faults of a cluster under load, each on the whole way of an event over Kafka: what was answered
200 is in the log and reaches the sink, with its bytes, in order, and the books say so; and the
fault was felt.

A few of them are run each time; `make chaos` runs all, and prints one table. `TRACKMATE_SEED` sends
what an earlier run sent.
"""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from random import Random, randrange

import pytest
from confluent_kafka.admin import NewPartitions

from couchbase_standin.standin import Op, Status
from kafka_broker import Broker, Cluster, kafka_brokers
from kafka_system import Row, System, survive, system
from links import NO_ANSWERS, SILENT, State
from receiver import Answer, Request
from traffic import UNKNOWN
from waiting_for import wait_until

ROUNDS = int(os.environ.get("TRACKMATE_KILL_ROUNDS", "3"))
ALL = "TRACKMATE_KILL_ROUNDS" in os.environ
SEED = int(os.environ.get("TRACKMATE_SEED", str(randrange(10**6))))
KILLS = min(ROUNDS, 20)
DISK_BYTES = 300 << 20

pytestmark = [pytest.mark.needs("kafka"), pytest.mark.timeout(300 + 20 * KILLS)]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with kafka_brokers(3, linked=True) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def table() -> Iterator[list[Row]]:
    """Printed when all is done."""
    rows: list[Row] = []
    yield rows
    heads = ("fault", "200s during it", "lost", "repeated", "recovered", "felt by")
    print("\n\n{:<44}{:>15}{:>6}{:>10}{:>11}  {}".format(*heads))
    for row in rows:
        print(
            f"{row.fault:<44}{row.acknowledged:>15}{row.lost:>6}{row.repeated:>10}"
            f"{row.recovered_s:>9.1f} s  {row.bit}"
        )


def felt(it: System, *, unanswered: int = 1) -> str:
    """That clients were answered 503, cut, or refused a connection."""
    bad = it.ledger.count(*UNKNOWN)
    refused = it.ledger.refused_connections
    return f"{bad} unanswered, {refused} refused" if bad + refused >= unanswered else ""


def wait_for_more(it: System, answers: int) -> None:
    """Until clients have got so many more."""
    before = it.acknowledged()
    seconds = 60 + answers / 50
    wait_until(lambda: it.acknowledged() > before + answers, "more is stored", seconds=seconds)


# F01, F02, F06, F07: our own processes


def ingest_killed(it: System) -> None:
    rng = Random(SEED)
    for _ in range(KILLS):
        time.sleep(rng.uniform(0, 0.3))  # a moment that has nothing to do with the answers
        it.ingest.kill()
        it.restart_ingest()
        wait_for_more(it, 30)
    it.bit = felt(it)


def consume_killed(it: System) -> None:
    rng = Random(SEED)
    for _ in range(KILLS):
        before = len(it.backend.requests)
        wait_until(lambda: len(it.backend.requests) > before, "it works", seconds=60)  # noqa: B023 - called at once
        time.sleep(rng.uniform(0, 0.3))
        it.members.pop().kill()
        it.keepers.pop().kill()
        it.start_member()
        it.start_keeper()
    it.bit = f"{KILLS} times both pipelines killed at work"


def ingest_stopped(it: System) -> None:
    os.killpg(it.ingest.process.pid, signal.SIGSTOP)
    time.sleep(12)  # longer than the answers are due
    os.killpg(it.ingest.process.pid, signal.SIGCONT)
    wait_for_more(it, 10)
    it.bit = felt(it)


def consume_stopped(it: System) -> None:
    """Longer than its session: another takes over, and it wakes up as a zombie."""
    it.start_member()
    first = it.members[0]
    wait_until(lambda: first.metric("trackmate_pipeline_events_total") > 0, "it works", seconds=60)
    first.process.send_signal(signal.SIGSTOP)
    other = it.members[1]
    try:
        before = other.metric("trackmate_pipeline_events_total")
        wait_until(
            lambda: len(other.partitions()) == 3, "the other one has all partitions", seconds=60
        )
        assert other.metric("trackmate_pipeline_events_total") > before
    finally:
        first.process.send_signal(signal.SIGCONT)
    it.bit = "its partitions went to the other"


# F08 to F12, F17: brokers


def leader_stopped(it: System) -> None:
    broker = it.leader()
    broker.signal(signal.SIGSTOP)
    time.sleep(12)  # longer than an acknowledgement may take
    broker.signal(signal.SIGCONT)
    it.cluster.wait()
    it.bit = felt(it) or "another leads"


def each_leader_killed(it: System) -> None:
    one_by_one(it, Broker.kill, answers=50)
    it.bit = "three brokers killed, one by one"


def one_by_one(it: System, end: Callable[[Broker], None], *, answers: int) -> None:
    """End each broker, and bring it back when clients have got so many answers without it."""
    for broker in it.cluster.brokers:
        end(broker)
        wait_for_more(it, answers)
        broker.start()
        it.cluster.wait()


def two_brokers_killed(it: System) -> None:
    one, other, _ = it.cluster.brokers
    one.kill()
    other.kill()
    before = it.ledger.count(*UNKNOWN)
    wait_until(lambda: it.ledger.count(*UNKNOWN) > before + 3, "it is said", seconds=60)
    other.start()
    one.start()
    it.cluster.wait()
    it.bit = felt(it)


def brokers_rolled(it: System) -> None:
    one_by_one(it, Broker.stop, answers=20)
    it.bit = "three brokers restarted, one by one"


def broker_disk_full(it: System) -> None:
    """One of three has no room left and gives up: the others carry on, and it comes back."""
    broker = it.cluster.brokers[-1]
    filler = broker.home / "data" / "filler"
    with filler.open("wb") as file, suppress(OSError):
        while True:
            file.write(bytes(1 << 20))
            file.flush()
    process = broker.process
    assert process
    wait_until(lambda: process.poll() is not None, "it gives up", seconds=90)
    wait_for_more(it, 100)
    filler.unlink()
    broker.start()
    it.cluster.wait()
    it.bit = f"it gave up with exit code {process.returncode}"


# F13 to F15: networks


def clients_cut_off(it: System) -> None:
    with it.cluster.clients.broken(SILENT):
        time.sleep(10)
    it.bit = felt(it) and f"{it.cluster.clients.held_back} bytes held back"


def answers_lost(it: System) -> None:
    """The brokers have the events, and nobody learns of it."""
    with it.cluster.clients.broken(NO_ANSWERS):
        time.sleep(4)
        it.cluster.clients.cut()
    cut = sum(link.cut_connections for link in it.cluster.clients.links)
    it.bit = f"{cut} connections cut with answers on their way" if cut else ""


def brokers_cut_off_and_leader_killed(it: System) -> None:
    with it.cluster.between.broken(SILENT):
        time.sleep(6)
        it.leader().kill()
        time.sleep(4)
    for broker in it.cluster.brokers:
        assert broker.process
        if broker.process.poll() is not None:
            broker.start()
    it.cluster.wait()
    it.bit = felt(it) or f"{it.cluster.between.held_back} bytes held back"


def slow_links(it: System) -> None:
    with it.cluster.clients.broken(State(late_s=0.1, bytes_per_s=50_000)):
        wait_for_more(it, 30)
    it.bit = f"{it.cluster.clients.held_back} bytes came late"


def one_byte_at_a_time(it: System) -> None:
    with it.cluster.clients.broken(State(bytes_at_once=1)):
        wait_for_more(it, 100)
    it.bit = "links of one byte"


def bits_flipped(it: System) -> None:
    """F25: what the brokers send is altered on its way; only large answers, as fetches are."""
    flips = count()

    def altered(data: bytes) -> bytes:
        if len(data) < 3000:
            return data
        at = len(data) - 100 - next(flips) % 500
        return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]

    def said() -> int:
        return sum(one.log.count("CorruptRecord") for one in (*it.members, *it.keepers))

    with it.cluster.clients.broken(State(altered=altered)):
        wait_until(lambda: said() > 2, "it is noticed", seconds=60)
        wait_for_more(it, 50)
    it.bit = f"{next(flips)} bits flipped, {said()} times noticed"


# F21, F22: the sink


def sink_slow(it: System) -> None:
    before = len(it.backend.requests)
    it.backend.answering = lambda _: Answer(after_s=4)  # longer than it is waited for
    wait_until(lambda: len(it.backend.requests) > before + 5, "it is asked", seconds=60)
    wait_for_more(it, 100)
    it.backend.answering = lambda _: Answer()
    it.bit = "answers later than they were waited for"


def sink_down(it: System) -> None:
    answers = count()

    def answering(_: Request) -> Answer:
        return Answer((500, 503, 429, 502)[next(answers) % 4])

    it.backend.answering = answering
    time.sleep(6)
    wait_for_more(it, 300)
    it.backend.answering = lambda _: Answer()
    it.bit = f"{next(answers)} answers of 500, 502, 503 and 429"


def store_stormy(it: System) -> None:
    """F23: busy, half done, and nobody knows whether done."""
    faults = it.couchbase.faults
    stormy = [
        faults.add("answer", Op.ADD, status=Status.TEMPORARY, chance=0.3),
        faults.add("answer", Op.ADD, status=Status.SYNC_WRITE_IN_PROGRESS, chance=0.2),
        faults.add("ambiguous", Op.ADD, chance=0.3, applied=True),
        faults.add("drop", Op.ADD, chance=0.02, applied=True),
    ]
    wait_for_more(it, 300)
    wait_until(lambda: all(fault.bit for fault in stormy), "each bites", seconds=60)
    faults.clear()
    it.bit = f"{sum(fault.bit for fault in stormy)} writes answered busy, unknown or not at all"


def store_gone(it: System) -> None:
    """Its node is away for a while, and durable writes are impossible for another."""
    it.couchbase.stop()
    wait_for_more(it, 200)
    it.couchbase.start()
    fault = it.couchbase.faults.add("answer", Op.ADD, status=Status.DURABILITY_IMPOSSIBLE)
    wait_until(lambda: fault.bit > 3, "it bites", seconds=60)
    it.couchbase.faults.clear()
    it.bit = f"stopped, then {fault.bit} writes that could not be durable"


def sink_down_for_long(it: System) -> None:
    """
    A day, at a scale: as much waits as of a slow stream in 24 hours. What waits is in Kafka and not
    in memory, and the other pipeline is not held up.
    """
    it.backend.answering = lambda _: Answer(503)
    member, keeper = it.members[0], it.keepers[0]
    wait_until(lambda: not member.ready()[0], "it is said", seconds=30)
    before = resident_mb(member.process.pid)
    wait_for_more(it, 4_000)
    after = resident_mb(member.process.pid)
    assert keeper.ready()[0]
    assert keeper.metric("trackmate_pipeline_lag_seconds") < 10
    waiting = member.metric("trackmate_pipeline_in_flight")
    it.backend.answering = lambda _: Answer()
    assert after < before + 100, f"{before} MB grew to {after} MB"
    it.bit = f"{waiting:.0f} events waited, in {before} then {after} MB"


def resident_mb(pid: int) -> int:
    [line] = [one for one in Path(f"/proc/{pid}/status").read_text().splitlines() if "VmRSS" in one]
    return int(line.split()[1]) // 1024


# F28, F30: the group


def rebalance_storm(it: System) -> None:
    rounds = 8 if ALL else 2
    for number in range(rounds):
        it.start_member()
        wait_for_more(it, 20)
        member = it.members.pop(0)
        if number % 2:
            member.kill()
        else:
            assert member.stop() == 0, member.log
    it.bit = f"{rounds} came, and as many went"


def partitions_grown(it: System) -> None:
    admin = it.cluster.admin()
    grown = admin.create_partitions([NewPartitions(it.topic, 5)])
    grown[it.topic].result(30)
    it.ingest.partitions = 5
    it.keys_moved = True

    def all_filled() -> bool:
        return all(
            it.members[0].metric("trackmate_pipeline_events_total", partition=str(number)) > 0
            for number in range(5)
        )

    wait_until(all_filled, "the new ones are used", seconds=90)
    it.bit = "two partitions more"


Strike = Callable[[System], None]

OFTEN: dict[str, Strike] = {
    "F01 ingest killed": ingest_killed,
    "F02 consume killed": consume_killed,
    "F09 each broker killed": each_leader_killed,
    "F13 answers lost on the way back": answers_lost,
    "F22 sink down": sink_down,
    "F23 store stormy": store_stormy,
}
RARELY: dict[str, Strike] = {
    "F06 ingest frozen 12 s": ingest_stopped,
    "F07 consume frozen past its session": consume_stopped,
    "F08 leading broker frozen 12 s": leader_stopped,
    "F10 two brokers killed at once": two_brokers_killed,
    "F12 brokers restarted one by one": brokers_rolled,
    "F13 clients cut off 10 s": clients_cut_off,
    "F14 brokers cut off, leader killed": brokers_cut_off_and_leader_killed,
    "F15 slow links": slow_links,
    "F15 links of one byte": one_byte_at_a_time,
    "F21 sink too slow": sink_slow,
    "F25 bits flipped on the way": bits_flipped,
    "F22 sink down for a day, scaled": sink_down_for_long,
    "F23 store gone for a while": store_gone,
    "F28 rebalance storm": rebalance_storm,
    "F28 partitions grown": partitions_grown,
}


@pytest.mark.parametrize("name", [*OFTEN, *(RARELY if ALL else ())])
def test_nothing_acknowledged_is_lost(
    cluster: Cluster, table: list[Row], *, name: str, tmp_path: Path
) -> None:
    strike = {**OFTEN, **RARELY}[name]
    print(f"\n{name}: seed {SEED}")
    with system(tmp_path, cluster) as it:
        table.append(asyncio.run(survive(it, name, strike, seed=SEED)))
    cluster.wait()


if ALL:

    @pytest.mark.needs("mount")
    def test_a_broker_whose_disk_is_full_loses_nothing(table: list[Row], tmp_path: Path) -> None:
        name = "F17 a broker's disk full"
        with kafka_brokers(3, small_disk=DISK_BYTES) as cluster, system(tmp_path, cluster) as it:
            table.append(asyncio.run(survive(it, name, broker_disk_full, seed=SEED)))
