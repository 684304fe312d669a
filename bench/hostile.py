"""
What a pipeline that meets bombs costs its neighbour: `python bench/hostile.py`. Events leave at a
steady rate; each one's time is from then to its arrival at a webhook, through `trackmate dev`:
alone, beside a program that keeps one core busy at the children's priority, and beside another
pipeline that meets nothing but endless loops and memory bombs. The second says what the core costs.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from load import Result, offer
from run import books, machine, maker, trackmate

RATE = 50
"""Events a second: what shows is waiting, not work."""
BOMBS = 500
PIPELINES = """\
apiVersion: trackmate.io/v1alpha1
kind: Pipeline
metadata: {name: bombed, namespace: trackmate-acme}
spec:
  stream: events
  filter: has(event.bomb)
  transform:
    jq: |
      if .bomb == 0 then def f: f; f
      elif .bomb == 1 then reduce range(99) as $i ("xx"; . + .)
      elif .bomb == 2 then ("a" * 40 + "!") | test("^(a+)+$")
      else [limit(1e9; repeat(1))] end
  sink: {stdout: {}}
---
apiVersion: trackmate.io/v1alpha1
kind: Pipeline
metadata: {name: calm, namespace: trackmate-acme}
spec:
  stream: events
  filter: "!has(event.bomb)"
  sink: {http: {url: "http://127.0.0.1:%d/"}}
"""


class Webhook:
    """Notes when each event arrives, by its id."""

    def __init__(self) -> None:
        self.arrived: dict[str, float] = {}
        self.ended = asyncio.Event()
        """Set while nobody is connected."""
        self._connections = 0

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        self.ended.clear()
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.partition(b"content-length:")[2].split()[0])
                event = json.loads(await reader.readexactly(length))
                self.arrived[event["messageId"]] = time.perf_counter()
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()
        finally:
            self._connections -= 1
            if not self._connections:
                self.ended.set()


async def measure(seconds: float, *, bombs: bool) -> Result:
    """The times of the calm events, in seconds."""
    webhook = Webhook()
    server = await asyncio.start_server(webhook.take, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with trackmate(PIPELINES % port) as (url, _, key):
        await wait_for_pipelines(url)
        if bombs:
            await post_bombs(url, key)
        make, left = maker(key, 1), {}

        def one(number: int) -> bytes:
            left[f"{number:015d}"] = time.perf_counter()
            return make(number)

        await offer(int(url.rsplit(":", 1)[1]), one, rate=RATE, seconds=seconds, connections=8)
        while len(webhook.arrived) < len(left):  # noqa: ASYNC110 - a poll is cheap at the end
            await asyncio.sleep(0.01)
        if bombs:
            waiting = await asyncio.to_thread(in_flight, url)
            assert waiting >= BOMBS, "the bombs were over before the measurement"
    server.close()
    await webhook.ended.wait()
    return Result([webhook.arrived[event] - at for event, at in left.items()])


async def wait_for_pipelines(url: str) -> None:
    while len((await asyncio.to_thread(books, url))["pipelines"]) < 3:  # noqa: ASYNC110 - once
        await asyncio.sleep(0.05)


async def post_bombs(url: str, key: str) -> None:
    events = [{"messageId": f"b-{number}", "bomb": number % 4} for number in range(BOMBS)]
    async with httpx.AsyncClient(trust_env=False) as client:
        headers = {"Authorization": f"Bearer {key}"}
        answer = await client.post(f"{url}/v1/events", json=events, headers=headers)
        answer.raise_for_status()


def in_flight(url: str) -> int:
    found: list[dict[str, Any]] = books(url)["pipelines"]
    return next(int(line["in_flight"]) for line in found if line["name"] == "bombed")


@contextmanager
def busy() -> Iterator[None]:
    """A core kept busy."""
    process = subprocess.Popen(["nice", "-n", "5", sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def turn(seconds: float) -> list[Result]:
    """Alone, beside a busy core, beside bombs."""
    alone = asyncio.run(measure(seconds, bombs=False))
    with busy():
        beside = asyncio.run(measure(seconds, bombs=False))
    return [alone, beside, asyncio.run(measure(seconds, bombs=True))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10, help="of each measurement")
    parser.add_argument("--turns", type=int, default=3)
    asked = parser.parse_args()
    print(machine())
    turns = [turn(asked.seconds) for _ in range(asked.turns)]
    print("| to the webhook | alone, ms | beside a busy core, ms | beside bombs, ms | ratio |")
    print("|---|---|---|---|---|")
    for share in (0.5, 0.99):
        found = [[result.percentile(share) * 1000 for result in results] for results in turns]
        ratios = sorted(bombs / core for _, core, bombs in found)
        medians = [statistics.median(column) for column in zip(*found, strict=True)]
        print(
            f"| p{share * 100:.0f} | {' | '.join(f'{median:.1f}' for median in medians)} | "
            f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}) |"
        )


if __name__ == "__main__":
    main()
