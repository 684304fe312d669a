"""
From the acknowledgement to the sink, on Kafka, at a steady rate; and what trackmate-ingest takes
with one worker and with two.

    PYTHONPATH=tests/harness python bench/kafka_latency.py

What is told of a pipeline is the time between the answer to the n-th event and the n-th event in
the sink: a line in a file, or a document in the stand-in of Couchbase, looked at every few
milliseconds. Nothing is pinned: load, broker, ingest, pipeline and sink share the cores. The
stand-in is Python, and may be what limits; of a real Couchbase this says nothing.
"""

import argparse
import asyncio
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import consuming
from couchbase_standin.standin import Role, standing
from kafka_broker import Cluster, kafka_brokers
from kafka_ingest import SPREAD, ingesting
from kafka_parts import AFFILIATE, create, load, tree_cpu_seconds
from load import Result, offer
from run import WRK, machine, maker
from servers import KEY
from trackmate_contract.names import dead_letter_topic, events_collection

EVENTS = 20  # a request
_LOOK_S = 0.005
_LATE_S = 30.0

Count = Callable[[], int]
"""How many events are in the sink."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=5000, help="events a second")
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--turns", type=int, default=2)
    asked = parser.parse_args()
    print(machine())
    with kafka_brokers() as cluster:
        print("| sink | events/s | acknowledged, p50, p99 ms | to the sink, p50, p99 ms |")
        print("|---|---|---|---|")
        for _ in range(asked.turns):
            for name, sink in (("files", files), ("stand-in of Couchbase", couchbase)):
                with topics(cluster), sink(cluster) as count:
                    show(name, asked, *watched(cluster, count, asked))
        print(
            "\n| workers | requests/s of 20 | events/s | CPU of ingest, cores |\n|---|---|---|---|"
        )
        for workers in (1, 2, 2, 1):
            with topics(cluster):
                most(cluster, workers, asked.seconds / 2)
    print(f"\n{load()}")


@contextmanager
def topics(cluster: Cluster) -> Iterator[None]:
    """Fresh ones: what is counted begins at nothing."""
    pipelines = [dead_letter_topic(AFFILIATE, name) for name in ("files", "store")]
    cluster.create(*pipelines, partitions=1)
    create(cluster, f"{AFFILIATE}.events")
    yield
    cluster.empty()


@contextmanager
def files(cluster: Cluster) -> Iterator[Count]:
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as name:
        spec = {"stream": "events", "sink": {"files": {"path": f"{name}/out"}}}
        with pipeline(cluster, Path(name), pipeline="files", spec=spec):
            seen: dict[Path, list[int]] = {}
            yield lambda: sum(lines(one, seen) for one in Path(name, "out").rglob("*.open"))


def lines(file: Path, seen: dict[Path, list[int]]) -> int:
    """Those that are there, from where the last look ended."""
    found = seen.setdefault(file, [0, 0])
    with file.open("rb") as opened:
        opened.seek(found[0])
        new = opened.read()
    found[0] += len(new)
    found[1] += new.count(b"\n")
    return found[1]


@contextmanager
def couchbase(cluster: Cluster) -> Iterator[Count]:
    with standing() as standin, tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".b-") as name:
        kept = standin.bucket(AFFILIATE).scopes["_default"].collections
        roles = (Role("data_reader", AFFILIATE), Role("data_writer", AFFILIATE))
        standin.user("acme-consume", "right", *roles)
        Path(name, "password").write_text("right", "utf-8")
        where = {
            "connectionString": standin.address,
            "username": "acme-consume",
            "passwordFile": f"{name}/password",
            "bucket": AFFILIATE,
        }
        settings = {"pipeline": "store", "streams": ["events"], "couchbase": where}
        with pipeline(cluster, Path(name), **settings):
            yield lambda: len(kept[events_collection("_default")].documents)


@contextmanager
def pipeline(cluster: Cluster, home: Path, **settings: Any) -> Iterator[None]:
    kafka = {"bootstrapServers": cluster.bootstrap, "relaxed": True}
    running = consuming.start(home, {"affiliate": AFFILIATE, "kafka": kafka, **settings})
    try:
        yield
    finally:
        running.kill()


def watched(
    cluster: Cluster, count: Count, asked: argparse.Namespace
) -> tuple[Result, list[float]]:
    """What came of the load, and how long after the answer each event was there."""
    there: list[float] = []
    fresh = get_context("spawn")
    with ingesting(cluster, core=None) as (port, _), ProcessPoolExecutor(1, fresh) as elsewhere:
        offered = elsewhere.submit(offered_load, port, asked.rate / EVENTS, asked.seconds)
        until = time.perf_counter() + asked.seconds + _LATE_S
        while not offered.done() or len(there) < EVENTS * len(offered.result().at):
            now, number = time.perf_counter(), count()
            there += [now] * (number - len(there))
            assert now < until, "the sink does not follow"
            time.sleep(_LOOK_S)
        result = offered.result()
    answers = [at for at in sorted(result.at) for _ in range(EVENTS)]
    return result, sorted(max(0.0, b - a) for a, b in zip(answers, there, strict=True))


def offered_load(port: int, rate: float, seconds: float) -> Result:
    return asyncio.run(offer(port, maker(KEY, EVENTS), rate=rate, seconds=seconds))


def show(name: str, asked: argparse.Namespace, result: Result, late: list[float]) -> None:
    assert not result.refused
    p50, p99 = (late[int(len(late) * share)] * 1000 for share in (0.5, 0.99))
    answered = [result.percentile(share) * 1000 for share in (0.5, 0.99)]
    print(
        f"| {name} | {asked.rate} | {answered[0]:.1f}, {answered[1]:.1f} | {p50:.0f}, {p99:.0f} |",
        flush=True,
    )


def most(cluster: Cluster, workers: int, seconds: float) -> None:
    """As many as wrk, in a closed loop of 64 connections, gets answered."""
    body = '"[" .. table.concat(events, ",") .. "]"'
    with (
        ingesting(cluster, workers=workers, core=None) as (port, pid),
        tempfile.NamedTemporaryFile("w", suffix=".lua") as script,
    ):
        script.write(WRK % (KEY, EVENTS, SPREAD, pid, body))
        script.flush()
        before, began = tree_cpu_seconds(pid), time.perf_counter()
        done = subprocess.run(
            [
                *("wrk", "-t1", "-c64", f"-d{seconds:g}s"),
                *("-s", script.name, f"http://127.0.0.1:{port}/"),
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        took = time.perf_counter() - began
        cores = (tree_cpu_seconds(pid) - before) / took
    assert "Non-2xx" not in done.stdout, done.stdout
    rate = int(done.stdout.partition(" requests in")[0].split()[-1]) / took
    print(f"| {workers} | {rate:.0f} | {rate * EVENTS:.0f} | {cores:.2f} |", flush=True)


if __name__ == "__main__":
    main()
