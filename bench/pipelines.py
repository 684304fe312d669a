"""
What an event costs on its way from the log to a sink, in batches of 100, beside a bare loop and
FastStream in the same run.

    apt-get install redis-server postgresql && uv sync --group bench
    PYTHONPATH=tests/harness python bench/pipelines.py

CPU seconds of the moving process and its children, an event; not of what is written to. `movers.py`
says what each does.
"""

import argparse
import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from faststream.redis import RedisBroker

import movers
from postgres import started
from run import EVENT, free_port, machine, served, wait_for_port
from trackmate.embedded.database import Database
from trackmate.embedded.log import EmbeddedLog
from trackmate_contract.record import Event, Stamp

HERE = Path(__file__).parent
SINKS = ("files", "postgres", "webhook")
STEPS = {"plain": "as sent", "filter": "filter", "both": "filter, transform"}
NAMES = ("ours", "bare", "faststream")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=50_000)
    parser.add_argument("--turns", type=int, default=2)
    asked = parser.parse_args()
    if shutil.which("redis-server") is None:
        sys.exit("FastStream reads from Redis here: apt-get install redis-server")
    print(machine())
    print("| sink | steps | ours µs | bare µs | FastStream µs | ours / bare | FastStream / ours |")
    print("|---|---|---|---|---|---|---|")
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=".", prefix=".bench-")))
        asyncio.run(fill_log(home, asked.events))
        redis = stack.enter_context(redis_server(home))
        asyncio.run(fill_redis(redis, asked.events))
        (home / "out").mkdir()
        targets = {
            "files": str((home / "out").resolve()),
            "postgres": stack.enter_context(started(durable=True)).url,
            "webhook": f"http://127.0.0.1:{stack.enter_context(served('null'))[0]}/hook",
        }
        for sink in SINKS:
            for steps, title in STEPS.items():
                costs = measured(home, sink, steps, targets[sink], asked)
                ours, bare, peer = (statistics.median(costs[name]) for name in NAMES)
                print(
                    f"| {sink} | {title} | {ours:.1f} | {bare:.1f} | {peer:.1f} | "
                    f"{ours / bare:.1f} | {peer / ours:.1f} |",
                    flush=True,
                )


def measured(
    home: Path, sink: str, steps: str, target: str, asked: argparse.Namespace
) -> dict[str, list[float]]:
    """Microseconds of CPU an event, of each turn."""
    costs: dict[str, list[float]] = {name: [] for name in NAMES}
    for turn in range(asked.turns):
        for name in NAMES if turn % 2 == 0 else NAMES[::-1]:
            with tempfile.TemporaryDirectory(dir=home) as folder:
                shutil.copy(home / "acme.db", folder)
                moved = [name, sink, steps, folder, target, str(asked.events)]
                done = subprocess.run(
                    ["taskset", "-c", "1", sys.executable, HERE / "movers.py", *moved],
                    stdout=subprocess.PIPE,
                    check=True,
                    timeout=600,
                )
            costs[name].append(float(done.stdout) / asked.events * 1e6)
    return costs


def event(number: int) -> str:
    return (EVENT % (number % 1000)).replace("ID", f"{number:015d}")


async def fill_log(home: Path, events: int) -> None:
    database = Database(home / "acme.db", movers.SCHEMA)
    embedded = EmbeddedLog(database)
    for first in range(0, events, 500):
        numbers = range(first, min(first + 500, events))
        made = [Event(f"{n:015d}", str(n % 1000), event(n).encode()) for n in numbers]
        await embedded.append("events", Stamp(1_780_000_000_000, "web"), made)
    await database.close()


async def fill_redis(url: str, events: int) -> None:
    os.environ["REDIS_URL"] = url
    async with RedisBroker(url) as broker:
        for number in range(events):
            await broker.publish(json.loads(event(number)), stream=movers.STREAM)


@contextmanager
def redis_server(home: Path) -> Iterator[str]:
    port = free_port()
    process = subprocess.Popen(
        ["redis-server", "--port", str(port), "--save", "", "--dir", home, "--bind", "127.0.0.1"],
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_for_port(port)
        yield f"redis://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    main()
