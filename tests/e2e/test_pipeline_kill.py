"""
kill -9 at any moment while pipelines deliver to real backends: every acknowledged event is settled
once in the books, reaches the webhook at least once with its own `webhook-id` and its own bytes;
what no format can hold is one dead letter with its original bytes.

`TRACKMATE_KILL_ROUNDS` says how often; `TRACKMATE_SEED` sends the load of an earlier run again.
"""

import asyncio
import os
from base64 import b64decode
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random, randrange
from typing import Any

import pytest

import oracle
from killing import load_and_kill
from receiver import Answer, Receiver, Request, receiving
from running import Dev
from trackmate_consume.sinks.webhook_ids import event_id
from traffic import Ledger, Outcome
from waiting_for import wait_until

StartDev = Callable[..., Dev]

ROUNDS = int(os.environ.get("TRACKMATE_KILL_ROUNDS", "4"))
SEED = int(os.environ.get("TRACKMATE_SEED", str(randrange(10**6))))

PIPELINES = """\
apiVersion: trackmate.io/v1alpha1
kind: Pipeline
metadata: {{name: to-hook, namespace: trackmate-acme}}
spec:
  stream: events
  sink: {{http: {{url: "{url}/hook"}}}}
---
apiVersion: trackmate.io/v1alpha1
kind: Pipeline
metadata: {{name: to-batch, namespace: trackmate-acme}}
spec:
  stream: images
  format: csv
  sink: {{http: {{url: "{url}/batch"}}}}
  delivery: {{batch: {{events: 50, wait: 1s}}}}
"""


@pytest.mark.timeout(120 + 15 * ROUNDS)
def test_kill_9_while_pipelines_deliver_loses_nothing(start_dev: StartDev, tmp_path: Path) -> None:
    print(f"\nseed {SEED}")
    with receiving(_now_and_then_down(SEED)) as backend:
        dev = start_dev()
        (dev.manifests / "pipelines.yaml").write_text(PIPELINES.format(url=backend.url))
        wait_until(lambda: len(dev.audit()["pipelines"]) == 3, "the pipelines run")
        key = dev.key("server")
        ledger = Ledger()
        cut_short = 0
        for number in range(ROUNDS):
            cut = asyncio.run(load_and_kill(dev, key, seed=SEED + number, answers=(20, 200)))
            cut_short += cut.count(Outcome.CUT)
            dev = start_dev()
            ledger.attempts += cut.attempts
        wait_until(lambda: _in_flight(dev) == 0, "all is settled", seconds=60)
        found = oracle.check(dev, ledger)

        assert found.books["balanced"], found.books["faults"]
        _check_hook(backend, found)
        _check_letters(dev, found)
        assert cut_short > 0, "no kill hit a request in flight"
        assert _repeats(backend) > 0 or ROUNDS < 4, "no kill hit a pipeline at work"


def _now_and_then_down(seed: int) -> Callable[[Request], Answer]:
    rng = Random(seed)
    return lambda _: Answer(503 if rng.random() < 0.02 else 200)


def _in_flight(dev: Dev) -> int:
    return sum(line["in_flight"] for line in dev.audit()["pipelines"])


def _check_hook(backend: Receiver, found: oracle.Found) -> None:
    """Each event of the stream came, under its id, and as it was sent."""
    came = {request.id: request.body for request in backend.requests if request.path == "/hook"}
    sent = {event_id(e.id, 0): e.value for e in found.log if e.stream == "events"}
    assert set(came) == set(sent)
    assert {name for name in sent if came[name] != sent[name]} == set()


def _check_letters(dev: Dev, found: oracle.Found) -> None:
    """What is no row is a dead letter, once for each time it is in the log."""
    [line] = [line for line in found.books["pipelines"] if line["name"] == "to-batch"]
    letters = list(_letters(dev))
    values = {(event.stream, event.offset): event.value for event in found.log}
    places = [(letter["stream"], letter["offset"]) for letter in letters]
    assert line["dead"] == len(set(places)) == len(places) > 0
    for place, letter in zip(places, letters, strict=True):
        assert b64decode(letter["base64"]) == values[place]
    assert line["delivered"] + line["dead"] == sum(place[0] == "images" for place in values)


def _letters(dev: Dev) -> Iterator[Any]:
    """All of them, a thousand at a time."""
    after = 0
    while True:
        asked = ["list", "acme/to-batch", "--limit", "1000", "--after", str(after)]
        found = dev.read("dead-letters", *asked)["letters"]
        yield from found
        if not found:
            return
        after = found[-1]["number"]


def _repeats(backend: Receiver) -> int:
    times = Counter(request.id for request in backend.requests if request.path == "/hook")
    return sum(count - 1 for count in times.values())
