"""
What an event costs trackmate-consume on its way from Kafka to files, with a filter, beside a bare
loop and FastStream in the same run. All events are in the topic before it begins.

    uv sync --group bench
    PYTHONPATH=tests/harness python bench/kafka_pipeline.py

CPU seconds of the program, user and system, with librdkafka's threads, an event. It is started
paused, and counted from when it may go on. Each is alone on one core, and the broker is on the
other; `kafka_movers.py` says what the others do.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import consuming
from kafka_broker import Cluster, kafka_brokers
from kafka_parts import (
    AFFILIATE,
    OURS,
    THEIRS,
    TOPIC,
    create,
    fill,
    load,
    on_core,
    tree_cpu_seconds,
)
from movers import FILTER
from run import machine
from trackmate_contract.names import dead_letter_topic
from waiting_for import wait_until

HERE = Path(__file__).parent
NAMES = ("ours", "bare", "faststream")
_LONGEST_S = 600


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=500_000)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--only", choices=NAMES, help="one alone")
    asked = parser.parse_args()
    print(machine())
    os.sched_setaffinity(0, {THEIRS})
    names = [name for name in NAMES if asked.only in {None, name}]
    costs: dict[str, list[float]] = {name: [] for name in names}
    with kafka_brokers() as cluster:
        create(cluster, TOPIC)
        fill(cluster, asked.events)
        for turn in range(asked.turns):
            for name in names if turn % 2 == 0 else names[::-1]:
                costs[name].append(cost(cluster, name, f"{name}-{turn}", asked.events))
    show(costs)
    print(f"\n{load()}")


def cost(cluster: Cluster, name: str, group: str, events: int) -> float:
    """Microseconds of CPU an event."""
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as folder:
        if name == "ours":
            used = ours(cluster, group, Path(folder), events)
        else:
            used = theirs(cluster, name, group, Path(folder), events)
    return used / events * 1e6


def ours(cluster: Cluster, pipeline: str, home: Path, events: int) -> float:
    """CPU seconds."""
    cluster.create(dead_letter_topic(AFFILIATE, pipeline), partitions=1)
    settings = {
        "affiliate": AFFILIATE,
        "pipeline": pipeline,
        "spec": {
            "stream": "events",
            "filter": FILTER,
            "sink": {"files": {"path": str(home / "out")}},
        },
        "kafka": {"bootstrapServers": cluster.bootstrap, "relaxed": True},
        "paused": "until it is measured",
    }
    with on_core(OURS):
        running = consuming.start(home, settings)
    try:
        wait_until(lambda: waiting(running) == events, "it has its partitions")
        before = tree_cpu_seconds(running.process.pid)
        running.change(paused="")
        while waiting(running):
            time.sleep(0.5)
        used = tree_cpu_seconds(running.process.pid) - before
        assert running.metric("trackmate_pipeline_events_total", term="delivered") == events
        assert running.stop() == 0, running.log
    finally:
        if running.process.poll() is None:
            running.kill()
    return used


def waiting(running: consuming.Consuming) -> float:
    return running.metric("trackmate_pipeline_in_flight")


def theirs(cluster: Cluster, name: str, group: str, home: Path, events: int) -> float:
    """CPU seconds."""
    moved = [name, cluster.bootstrap, TOPIC, group, str(home), str(events)]
    with on_core(OURS):
        done = subprocess.run(
            [sys.executable, HERE / "kafka_movers.py", *moved],
            stdout=subprocess.PIPE,
            check=True,
            timeout=_LONGEST_S,
        )
    return float(done.stdout)


def show(costs: dict[str, list[float]]) -> None:
    print("| | µs an event | ours, as many times |")
    print("|---|---|---|")
    for name, found in costs.items():
        ratios = sorted(
            one / other for one, other in zip(costs.get("ours", found), found, strict=True)
        )
        print(
            f"| {name} | {statistics.median(found):.1f} ({min(found):.1f} to {max(found):.1f}) | "
            f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}) |"
        )


if __name__ == "__main__":
    main()
