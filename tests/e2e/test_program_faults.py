"""
`trackmate-ingest` on Kafka, killed, drained and frozen under load: what was answered with 200 is in
the topic, and a drain cuts nobody off.
"""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from random import Random, randrange

import pytest

from ingest_program import Program, start
from kafka_broker import Cluster, kafka_brokers
from killing import load_and_kill
from mix import mix
from oracle import compare_log
from traffic import UNKNOWN, Ledger, Load, Outcome

pytestmark = [pytest.mark.needs("kafka"), pytest.mark.timeout(600)]

SEED = int(os.environ.get("TRACKMATE_SEED", str(randrange(10**6))))
KILLS = int(os.environ.get("TRACKMATE_KILL_ROUNDS", "3"))
DRAINS = int(os.environ.get("TRACKMATE_KILL_ROUNDS", "6"))
WORKERS = 3
FROZEN_S = 12  # longer than Kafka's deadline and the client's of 10 s
GONE_S = 30


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with kafka_brokers() as cluster:
        cluster.create("acme.events", "acme.images")
        yield cluster


@pytest.fixture
def program(cluster: Cluster, tmp_path: Path) -> Iterator[Program]:
    program = start(tmp_path, cluster, workers=WORKERS)
    yield program
    program.kill_what_is_left()


def check(program: Program, ledger: Ledger, seed: int) -> None:
    print(f"TRACKMATE_SEED={SEED}: {ledger.count(Outcome.OK)} of {len(ledger.attempts)} stored")
    log = [event for event in program.tail() if event.id.startswith(f"s{seed}-")]
    assert ledger.count(Outcome.OK)
    faults = list(compare_log(ledger, log))
    assert not faults, "\n".join(faults[:20])


@pytest.mark.parametrize("number", range(KILLS))
def test_kill_9_under_load_loses_no_acknowledged_event(program: Program, number: int) -> None:
    seed = SEED + number
    ledger = asyncio.run(
        load_and_kill(program, program.key("server"), seed=seed, answers=(50, 400))
    )

    assert ledger.count(*UNKNOWN), "the kill did not bite"
    check(program, ledger, seed)


@pytest.mark.parametrize("number", range(DRAINS))
def test_a_drain_of_several_workers_under_load_cuts_nobody_off(
    program: Program, number: int
) -> None:
    seed = SEED + 1000 + number
    rng = Random(seed)
    ledger = Ledger()
    load_seconds = rng.choice((None, rng.uniform(0, 0.2), rng.uniform(0.2, 0.5)))

    async def scenario() -> int:
        load = Load(program.url, program.key("server"), ledger)
        load.begin(mix(seed), connections=12)
        enough = rng.randint(50, 300)
        await load.until(lambda it: it.count(Outcome.OK) >= enough, what="the signal")
        program.process.send_signal(signal.SIGTERM)
        gone = asyncio.create_task(asyncio.to_thread(program.process.wait, GONE_S))
        await asyncio.wait({gone}, timeout=load_seconds)
        load.stop()
        await load.ended()
        return await gone

    assert asyncio.run(scenario()) == 0, program.log

    bad = [(a.request.name, a.outcome) for a in ledger.attempts if a.outcome in UNKNOWN]
    assert not bad, f"load {load_seconds}: {len(bad)} were not answered: {bad[:10]}"
    check(program, ledger, seed)
    program.check_log()


def test_frozen_and_thawed_it_answers_no_200_that_is_not_there(program: Program) -> None:
    seed = SEED + 2000
    ledger = Ledger()

    async def scenario() -> None:
        load = Load(program.url, program.key("server"), ledger)
        load.begin(mix(seed), connections=12)
        await load.until(lambda it: it.count(Outcome.OK) > 200, what="load")
        os.killpg(program.process.pid, signal.SIGSTOP)
        await asyncio.sleep(1)  # what was on its way has come
        before = len(ledger.attempts)
        await asyncio.sleep(FROZEN_S)  # the fault itself
        assert len(ledger.attempts) == before, "it is not frozen"
        os.killpg(program.process.pid, signal.SIGCONT)
        enough = ledger.count(Outcome.OK) + 200
        await load.until(lambda it: it.count(Outcome.OK) > enough, what="load after")
        load.stop()
        await load.ended()

    asyncio.run(scenario())

    check(program, ledger, seed)
    assert not program.said("worker ended, another takes its place"), "nobody is to blame"
    assert program.stop() == 0, program.log
