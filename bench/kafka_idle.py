"""
What pipelines cost that have nothing to do: many topics on one broker, and an idle
trackmate-consume for as many of them as memory is there for; beside them an idle trackmate-ingest.

    PYTHONPATH=tests/harness python bench/kafka_idle.py

CPU of each process over a time, user and system; memory is resident, and what is the process's own
(Pss), as pages of the same program are shared.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import consuming
from kafka_broker import Cluster, kafka_brokers
from kafka_ingest import ingesting
from kafka_parts import TOPIC, create, load, tree_cpu_seconds
from run import machine, rss_mb
from trackmate_contract.names import dead_letter_topic, topic

_EACH_MB = 110  # that must be free for a pipeline
_AT_ONCE = 4
_SPARE_MB = 4000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--topics", type=int, default=1000)
    parser.add_argument("--pipelines", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=30)
    asked = parser.parse_args()
    print(machine())
    many = min(asked.pipelines, (free_mb() - _SPARE_MB) // _EACH_MB)
    if many < asked.pipelines:
        print(f"There is memory for {many} pipelines.\n")
    names = [f"tenant-{number}" for number in range(asked.topics)]
    with kafka_brokers() as cluster, ExitStack() as stack:
        broker = cluster.brokers[0].process
        assert broker
        create(cluster, TOPIC)
        alone = measured([broker.pid], asked.seconds)
        for first in range(0, len(names), 200):
            cluster.create(
                *[topic(name, "events") for name in names[first : first + 200]], partitions=1
            )
        with_topics = measured([broker.pid], asked.seconds)
        ingest = stack.enter_context(ingesting(cluster))[1]
        pipelines = stack.enter_context(running(cluster, names[:many]))
        time.sleep(asked.seconds / 2)  # what starting costs is not idling
        figures = {
            "broker, nothing else": alone,
            f"broker, {asked.topics} topics": with_topics,
            f"broker, and {many} pipelines": measured([broker.pid], asked.seconds),
            "a pipeline": measured(pipelines, asked.seconds),
            "trackmate-ingest": measured([ingest], asked.seconds),
        }
    print("| | % of a core | RSS, MB | Pss, MB |\n|---|---|---|---|")
    for name, (cpu, rss, pss) in figures.items():
        print(f"| {name} | {cpu * 100:.2f} | {rss:.0f} | {pss:.0f} |")
    print(f"\n{load()}")


def measured(pids: list[int], seconds: float) -> tuple[float, float, float]:
    """Cores, and megabytes, of one of them."""
    before = sum(map(tree_cpu_seconds, pids))
    time.sleep(seconds)
    used = (sum(map(tree_cpu_seconds, pids)) - before) / seconds / len(pids)
    return used, statistics.median(map(rss_mb, pids)), statistics.median(map(pss_mb, pids))


@contextmanager
def running(cluster: Cluster, names: list[str]) -> Iterator[list[int]]:
    """A pipeline of each affiliate: their processes."""
    cluster.create(*[dead_letter_topic(name, "idle") for name in names], partitions=1)
    started: list[consuming.Consuming] = []
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as folder:

        def start(name: str) -> None:
            settings = {
                "affiliate": name,
                "pipeline": "idle",
                "spec": {"stream": "events", "sink": {"stdout": {}}},
                "kafka": {"bootstrapServers": cluster.bootstrap, "relaxed": True},
            }
            started.append(consuming.start(Path(folder), settings, name=name))

        try:
            with ThreadPoolExecutor(_AT_ONCE) as starting:
                list(starting.map(start, names))
            yield [one.process.pid for one in started]
        finally:
            for one in started:
                one.kill()


def pss_mb(pid: int) -> float:
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text("utf-8")
    return int(rollup.partition("Pss:")[2].split()[0]) / 1024


def free_mb() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES") >> 20


if __name__ == "__main__":
    main()
