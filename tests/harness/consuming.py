"""
A real `trackmate-consume` for tests: its own process, with its settings in a file.
"""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from loopback import LOOPBACK
from waiting_for import wait_until
from whole_lines import whole_lines

PROGRAM = str(Path(sys.executable).with_name("trackmate-consume"))
_STARTED = re.compile(r'"metrics": (\d+)')


@dataclass
class Consuming:
    """One running process."""

    settings: Path
    log_file: Path
    process: subprocess.Popen[bytes]

    @property
    def log(self) -> str:
        return whole_lines(self.log_file)

    @property
    def url(self) -> str:
        """Where it says how it is."""
        found = _STARTED.search(self.log)
        assert found, self.log
        return f"http://127.0.0.1:{found[1]}"

    def change(self, **settings: Any) -> None:
        """Write other settings, as an editor or Kubernetes does: whole, in one step."""
        document = yaml.safe_load(self.settings.read_text("utf-8"))
        write(self.settings, {**document, **settings})

    def ready(self) -> tuple[bool, str]:
        answer = httpx.get(f"{self.url}/readyz", **LOOPBACK)
        assert (answer.status_code == 200) == answer.json()["ready"]
        return answer.json()["ready"], answer.json()["reason"]

    def healthy(self) -> bool:
        return httpx.get(f"{self.url}/healthz", **LOOPBACK).status_code == 200

    def figures(self) -> str:
        """As Prometheus reads them."""
        return httpx.get(f"{self.url}/metrics", **LOOPBACK).text

    def partitions(self) -> set[str]:
        """Those that it has."""
        in_flight = r'^trackmate_pipeline_in_flight\{.*partition="(\d+)"'
        return set(re.findall(in_flight, self.figures(), re.MULTILINE))

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples with these labels."""
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        return sum(
            float(line.rsplit(" ", 1)[1])
            for line in self.figures().splitlines()
            if line.startswith((f"{name}{{", f"{name} ")) and all(one in line for one in wanted)
        )

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM, and wait for the end."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=40)


def write(path: Path, settings: Mapping[str, Any]) -> None:
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(settings), "utf-8")  # JSON is YAML
    draft.replace(path)


def start(home: Path, settings: Mapping[str, Any], *, name: str = "consume") -> Consuming:
    """Start the program, and wait until it says how it is."""
    path, log_file = home / f"{name}.yaml", home / f"{name}.log"
    write(path, {"metrics": {"host": "127.0.0.1", "port": 0}, **settings})
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [PROGRAM, "--settings", str(path)],
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONWARNINGS": "error"},
        )
    running = Consuming(path, log_file, process)

    def has_started() -> bool:
        assert process.poll() is None, running.log
        return bool(_STARTED.search(running.log))

    wait_until(has_started, "the program starts", seconds=40)
    return running


@contextmanager
def consuming(
    home: Path, settings: Mapping[str, Any], *, name: str = "consume"
) -> Iterator[Consuming]:
    """Running; it must end well when it is told to."""
    running = start(home, settings, name=name)
    try:
        yield running
        assert running.process.poll() is None, running.log
        assert running.stop() == 0, running.log
    finally:
        if running.process.poll() is None:
            running.kill()


def check(home: Path, settings: Mapping[str, Any]) -> subprocess.CompletedProcess[str]:
    """Run it with --check."""
    path = home / "checked.yaml"
    write(path, settings)
    return subprocess.run(
        [PROGRAM, "--settings", str(path), "--check"], capture_output=True, text=True, check=False
    )
