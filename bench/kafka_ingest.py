"""
What an event costs trackmate-ingest on Kafka, beside the null application on the same server.

    PYTHONPATH=tests/harness python bench/kafka_ingest.py

One worker on one core; the broker, one, and wrk are on the other. CPU is that of the program, user
and system, and holds librdkafka's threads. Turns of A B B A, after one that is not counted: a
broker that has just started is slow.
"""

import argparse
import os
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import ingest_program
from kafka_broker import Cluster, kafka_brokers
from kafka_parts import OURS, THEIRS, TOPIC, create, load, on_core, stored
from run import EVENT, cpu_a_request, machine, served
from servers import KEY

SPREAD = EVENT.replace("%d", "ID")
"""Each event of another user: they go to all partitions."""
SPEC = {**ingest_program.SPEC, "streams": [{"name": "events"}]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5, help="of each measurement")
    parser.add_argument("--turns", type=int, default=3, help="of A B B A")
    asked = parser.parse_args()
    print(machine())
    print("| events a request | null µs/request | ours µs/request | ours µs/event | ratio |")
    print("|---|---|---|---|---|")
    os.sched_setaffinity(0, {THEIRS})
    with kafka_brokers() as cluster:
        create(cluster, TOPIC)
        ours(cluster, 1, asked.seconds)
        for events in (1, 100):
            show(events, *turns(cluster, events, asked.seconds, asked.turns))
    print(f"\n{load()}")


def turns(
    cluster: Cluster, events: int, seconds: float, many: int
) -> tuple[list[float], list[float]]:
    """Microseconds a request: of the null application, and ours."""
    nulls: list[float] = []
    mine: list[float] = []
    for _ in range(many):
        for name in ("null", "ingest", "ingest", "null"):
            if name == "ingest":
                mine.append(ours(cluster, events, seconds))
                continue
            with served("null") as (port, pid):
                nulls.append(cpu_a_request(port, pid, events, seconds, event=SPREAD))
    return nulls, mine


def ours(cluster: Cluster, events: int, seconds: float) -> float:
    before = stored(cluster)
    with ingesting(cluster) as (port, pid):
        cost = cpu_a_request(port, pid, events, seconds, event=SPREAD)
    assert (stored(cluster) - before) % events == 0, "a part of a request was stored"
    return cost


@contextmanager
def ingesting(
    cluster: Cluster, *, workers: int = 1, core: int | None = OURS
) -> Iterator[tuple[int, int]]:
    """The program: its port, and its process; on one core, or where it likes."""
    keys = [ingest_program.key("server", value=KEY)]
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as name:
        with nullcontext() if core is None else on_core(core):
            program = ingest_program.start(
                Path(name), cluster, spec=SPEC, keys=keys, workers=workers
            )
        try:
            yield int(program.url.rsplit(":", 1)[1]), program.process.pid
            assert program.stop() == 0, program.log
        finally:
            program.kill_what_is_left()


def show(events: int, nulls: list[float], mine: list[float]) -> None:
    ratios = sorted(one / other for one, other in zip(mine, nulls, strict=True))
    each = sorted(cost / events for cost in mine)
    print(
        f"| {events} | {statistics.median(nulls):.1f} | {statistics.median(mine):.1f} | "
        f"{statistics.median(each):.2f} ({each[0]:.2f} to {each[-1]:.2f}) | "
        f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}) |",
        flush=True,
    )


if __name__ == "__main__":
    main()
