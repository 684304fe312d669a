"""
What an event costs trackmate-ingest on Kafka, beside the null application on the same server, and
beside the least that does the same: in Python on the same server (`bare_ingest.py`), and in Go
(`go_peer/`), where Go is installed.

    PYTHONPATH=tests/harness python bench/kafka_ingest.py

One worker on one core; the broker, one, and wrk are on the other. CPU is that of the program, user
and system, and holds librdkafka's threads. Turns of A B C D D C B A, after one that is not counted:
a broker that has just started is slow.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import ingest_program
from kafka_broker import Cluster, kafka_brokers
from kafka_parts import OURS, THEIRS, TOPIC, create, load, on_core, stored
from run import EVENT, cpu_a_request, free_port, machine, served, wait_for_port
from servers import KEY

SPREAD = EVENT.replace("%d", "ID")
"""Each event of another user: they go to all partitions."""
SPEC = {**ingest_program.SPEC, "streams": [{"name": "events"}]}


GO_PEER = Path(__file__).parent / "go_peer"
BARE_PEER = Path(__file__).parent / "bare_ingest.py"
NULL, BARE, GO, INGEST = "null", "bare", "go", "ingest"
HEADS = (
    *("events a request", "null µs/request", "bare µs/event", "Go µs/event", "ours µs/event"),
    *("bare/null", "ours/null", "ours/bare", "ours/Go"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5, help="of each measurement")
    parser.add_argument("--turns", type=int, default=3, help="of A B C D D C B A")
    asked = parser.parse_args()
    print(machine())
    print(f"| {' | '.join(HEADS)} |\n|{'---|' * len(HEADS)}")
    os.sched_setaffinity(0, {THEIRS})
    with kafka_brokers() as cluster, tempfile.TemporaryDirectory() as folder:
        create(cluster, TOPIC)
        ways = Ways(cluster, asked.seconds, built(Path(folder)))
        ways.cost(INGEST, 1)
        for events in (1, 100):
            show(events, turns(ways, events, asked.turns))
    print(f"\n{load()}")


def built(folder: Path) -> Path | None:
    """The program of the Go peer; None where there is no Go."""
    if shutil.which("go") is None:
        return None
    program = folder / "go_peer"
    subprocess.run(["go", "build", "-o", program, "."], cwd=GO_PEER, check=True)
    return program


@dataclass(frozen=True)
class Ways:
    """From HTTP to where a request ends."""

    cluster: Cluster
    seconds: float
    go: Path | None

    @property
    def names(self) -> list[str]:
        return [NULL, BARE, *([GO] if self.go else []), INGEST]

    def cost(self, name: str, events: int) -> float:
        """Microseconds a request."""
        before = stored(self.cluster)
        with self._serving(name) as (port, pid):
            cost = cpu_a_request(port, pid, events, self.seconds, event=SPREAD)
        assert (stored(self.cluster) - before) % events == 0, "a part of a request was stored"
        return cost

    def _serving(self, name: str) -> AbstractContextManager[tuple[int, int]]:
        if name == NULL:
            return served(NULL)
        return ingesting(self.cluster) if name == INGEST else self._peer(name)

    @contextmanager
    def _peer(self, name: str) -> Iterator[tuple[int, int]]:
        port, bootstrap = free_port(), self.cluster.bootstrap
        asked = {
            BARE: [sys.executable, str(BARE_PEER), str(port), bootstrap, TOPIC],
            GO: [str(self.go), f"127.0.0.1:{port}", bootstrap, TOPIC, KEY],
        }
        with on_core(OURS):
            process = subprocess.Popen(asked[name], env={**os.environ, "GOMAXPROCS": "1"})
        try:
            wait_for_port(port)
            yield port, process.pid
        finally:
            process.terminate()
            process.wait()


def turns(ways: Ways, events: int, many: int) -> Mapping[str, list[float]]:
    """Microseconds a request, by name."""
    costs: dict[str, list[float]] = {name: [] for name in ways.names}
    for name in [*ways.names, *reversed(ways.names)] * many:
        costs[name].append(ways.cost(name, events))
    return costs


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


def show(events: int, costs: Mapping[str, list[float]]) -> None:
    def ratio(mine: str, other: str) -> str:
        return _ranged(_ratios(costs[mine], costs.get(other, [])))

    cells = [
        f"{statistics.median(costs[NULL]):.1f}",
        *[_ranged([cost / events for cost in costs.get(name, [])]) for name in (BARE, GO, INGEST)],
        *(ratio(BARE, NULL), ratio(INGEST, NULL), ratio(INGEST, BARE), ratio(INGEST, GO)),
    ]
    print(f"| {events} | {' | '.join(cells)} |", flush=True)


def _ratios(mine: list[float], others: list[float]) -> list[float]:
    return [one / other for one, other in zip(mine, others, strict=False)]


def _ranged(found: list[float]) -> str:
    if not found:
        return "no Go here"
    return f"{statistics.median(found):.2f} ({min(found):.2f} to {max(found):.2f})"


if __name__ == "__main__":
    main()
