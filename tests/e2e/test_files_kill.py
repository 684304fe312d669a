"""
kill -9 at any moment while pipelines write files: in the files is what is in the log, every event
once, in its order and with its bytes, and the books say so.

`TRACKMATE_KILL_ROUNDS` says how often; `TRACKMATE_SEED` sends the load of an earlier run again.
"""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from random import randrange

import pytest

import oracle
from filing import finished
from killing import load_and_kill
from running import Dev
from traffic import Ledger, Outcome
from waiting_for import wait_until

StartDev = Callable[..., Dev]

ROUNDS = int(os.environ.get("TRACKMATE_KILL_ROUNDS", "4"))
SEED = int(os.environ.get("TRACKMATE_SEED", str(randrange(10**6))))
STREAMS = ("events", "images")

PIPELINE = """\
apiVersion: trackmate.io/v1alpha1
kind: Pipeline
metadata: {{name: {stream}-out, namespace: trackmate-acme}}
spec:
  stream: {stream}
  format: text
  sink: {{files: {{path: "{path}", rotate: {{bytes: 16Ki, every: 1h}}}}}}
  delivery: {{batch: {{events: 50, wait: 1s}}}}
---
"""


@pytest.mark.timeout(120 + 15 * ROUNDS)
def test_kill_9_while_pipelines_write_files_leaves_each_event_once(
    start_dev: StartDev, tmp_path: Path
) -> None:
    print(f"\nseed {SEED}")
    out = tmp_path / "out"
    dev = start_dev()
    pipelines = "".join(PIPELINE.format(stream=stream, path=out) for stream in STREAMS)
    (dev.manifests / "pipelines.yaml").write_text(pipelines)
    wait_until(lambda: len(dev.audit()["pipelines"]) == 3, "the pipelines run")
    key = dev.key("server")
    ledger = Ledger()
    left_open = 0
    for number in range(ROUNDS):
        cut = asyncio.run(load_and_kill(dev, key, seed=SEED + number, answers=(50, 400)))
        ledger.attempts += cut.attempts
        left_open += len(list(out.rglob("*.open")))
        dev = start_dev()
    dev.settle()
    found = oracle.check(dev, ledger)
    assert dev.stop() == 0

    assert found.books["balanced"], found.books["faults"]
    files = finished(out)
    for stream in STREAMS:
        [line] = [one for one in found.books["pipelines"] if one["name"] == f"{stream}-out"]
        logged = [event.value + b"\n" for event in found.log if event.stream == stream]
        assert line["delivered"] == len(logged)
        assert b"".join(files[name] for name in files if f".{stream}-0." in name) == b"".join(
            logged
        )
    assert len(files) > 2, "no file was finished by its size"
    assert ledger.count(Outcome.CUT) > 0, "no kill hit a request in flight"
    assert left_open > 0, "no kill hit an open file"
