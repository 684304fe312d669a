"""
A real `trackmate-ingest` on real brokers: its own processes and ports, its files as Kubernetes
mounts them, and the topics for what it stored. Stands where a `trackmate dev` does, as far as tests
of the way in go.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import yaml

from kafka_broker import Cluster
from kafka_reading import whole_topic
from loopback import LOOPBACK
from mounted import Mounted
from processes import children
from running import Dev, Stored
from trackmate_contract.names import topic
from trackmate_contract.record import from_headers
from waiting_for import wait_until
from whole_lines import whole_lines

PROGRAM = str(Path(sys.executable).with_name("trackmate-ingest"))

_START_S = 30

SPEC: Mapping[str, Any] = {
    "streams": [{"name": "events"}, {"name": "images"}],
    "ingest": {
        "hosts": ["acme.track.example.com"],
        "limits": {"requestsPerSecond": 100_000, "bytesPerSecond": "1Gi"},
    },
}


def key(name: str, *, use: str = "Server", value: str = "", **more: Any) -> dict[str, Any]:
    """A write key, as `trackmate keys list --json` shows it."""
    found = {"name": name, "key": value or f"tmw_{name}", "use": use, "expires": None}
    return {"created": "2026-01-01T00:00:00.000Z", "origins": [], **found, **more}


KEYS = [key("web", use="Browser", origins=["https://www.acme.example"]), key("server")]


@dataclass
class Program(Dev):
    """One running program."""

    cluster: Cluster
    files: Mounted
    keys: list[dict[str, Any]]
    settings: dict[str, Any]
    log_file: Path = field(repr=False, default=Path())
    partitions: int = 3

    @property
    def log(self) -> str:
        return whole_lines(self.log_file)

    def said(self, message: str) -> list[dict[str, Any]]:
        """The lines of the log with this message."""
        lines = [json.loads(line) for line in self.log.splitlines()]
        return [line for line in lines if line["message"] == message]

    def key(self, name: str, affiliate: str = "acme") -> str:
        return str([k["key"] for k in self.keys if k["name"] == name][-1])

    def read(self, *arguments: str) -> Any:
        """The keys, as `trackmate keys …` would show and change them: here in the file."""
        match arguments:
            case ("keys", "list", "acme"):
                return self.keys
            case ("keys", "list", _):
                return [key("server", value="tmw_of_another")]
            case ("keys", "create", "acme", name):
                self.change_keys([*self.keys, key(name)])
                return self.keys
            case ("keys", "revoke", "acme", name):
                self.change_keys([k for k in self.keys if k["name"] != name])
                return self.keys
        raise AssertionError(f"no command of the program, and none of these tests: {arguments}")

    def change_keys(self, keys: list[dict[str, Any]]) -> None:
        """Write them, and wait until they are in force."""
        self.keys = keys
        self.change({"keys.json": json.dumps(keys)})

    def change_settings(self, **settings: Any) -> None:
        self.settings |= settings
        self.change({"settings.yaml": yaml.safe_dump(self.settings)})

    def change(self, files: Mapping[str, str]) -> None:
        """Write files, and wait until what they say is in force."""
        before = len(self.said("taken over"))
        self.files.write(files)
        wait_until(lambda: len(self.said("taken over")) > before, "the change is taken over")
        self.wait_for_all_workers()

    def wait_for_all_workers(self) -> None:
        """They are told in their order on their channels: who tells figures took all before."""
        self.metrics()

    def tail(self, affiliate: str = "acme", stream: str = "") -> list[Stored]:
        streams = [declared["name"] for declared in self.settings["spec"]["streams"]]
        names = [stream] if stream else streams
        return [stored for name in names for stored in self._stream(name)]

    def _stream(self, name: str) -> Iterator[Stored]:
        settings = self.cluster.settings()
        messages: list[Any] = [
            *whole_topic(settings, topic("acme", name), partitions=self.partitions)
        ]
        for message in messages:
            value = message.value()
            event_id, _ = from_headers(message.headers())
            yield Stored(name, message.offset(), event_id, sha256(value).hexdigest(), value)

    def metrics(self) -> dict[str, float]:
        """Each sample by its name and labels, as Prometheus reads them."""
        text = httpx.get(self.metrics_url, **LOOPBACK, timeout=30).text
        samples = (line.rpartition(" ") for line in text.splitlines() if line[0] != "#")
        return {name: float(value) for name, _, value in samples}

    def readiness(self) -> tuple[int, str]:
        answer = httpx.get(f"{self.url}/readyz", **LOOPBACK)
        return answer.status_code, answer.json()["reason"]

    def workers(self) -> list[int]:
        """Their process ids."""
        return children(self.process.pid)

    def kill(self) -> None:
        """kill -9 of all of its processes, as a container ends."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def check_log(self) -> None:
        """Each line is JSON, and no secret is in any."""
        assert self.said("started")
        password = Path(self.files.path("password")).read_text("utf-8").strip()
        secrets = [password, *(one["key"] for one in self.keys)]
        assert not [secret for secret in secrets if secret and secret in self.log]

    def kill_what_is_left(self) -> None:
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        self.process.wait()


def prepared(
    home: Path,
    cluster: Cluster,
    *,
    spec: Mapping[str, Any] = SPEC,
    keys: list[dict[str, Any]] | None = None,
    user: tuple[str, str] | None = None,
    **settings: Any,
) -> tuple[Mounted, dict[str, Any]]:
    """The files of a program, and its settings."""
    files = Mounted(home / "mounted")
    kafka: dict[str, Any] = {"bootstrapServers": cluster.bootstrap}
    if len(cluster.brokers) == 1:
        kafka["relaxed"] = True
    if user is not None:
        kafka["sasl"] = {"username": user[0], "passwordFile": files.path("password")}
    written = {
        "affiliate": "acme",
        "spec": dict(spec),
        "keysFile": files.path("keys.json"),
        "kafka": kafka,
        "listen": {"host": "127.0.0.1", "port": 0},
        "metrics": {"host": "127.0.0.1", "port": 0},
        "drain": "1s",
        **settings,
    }
    files.write(
        {
            "settings.yaml": yaml.safe_dump(written),
            "keys.json": json.dumps(KEYS if keys is None else keys),
            "password": f"{user[1]}\n" if user else "",
        }
    )
    return files, written


def start(
    home: Path, cluster: Cluster, *, ready: bool = True, partitions: int = 3, **how: Any
) -> Program:
    """Start it, and wait until it listens, and is `ready`; its topics have so many partitions."""
    files, settings = prepared(home, cluster, **how)
    program = start_on(home, cluster, files, settings, how.get("keys") or list(KEYS), ready=ready)
    program.partitions = partitions
    return program


def start_on(
    home: Path,
    cluster: Cluster,
    files: Mounted,
    settings: dict[str, Any],
    keys: list[dict[str, Any]],
    *,
    ready: bool = True,
) -> Program:
    log_file = home / "ingest.log"
    log_file.write_text("")
    with log_file.open("ab") as log:
        process = subprocess.Popen(
            [PROGRAM, "--settings", files.path("settings.yaml")],
            cwd=home,
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONWARNINGS": "error"},
            start_new_session=True,
        )
    program = Program(home, process, "", "", cluster, files, keys, settings, log_file)
    try:
        wait_until(lambda: process.poll() is not None or program.said("started"), "it starts")
        assert process.poll() is None, program.log
        [started] = program.said("started")
        program.url = f"http://127.0.0.1:{started['port']}"
        program.metrics_url = f"http://127.0.0.1:{started['metrics_port']}/metrics"
        _wait_until(lambda: program.readiness()[0] == 200 or not ready, program)
    except BaseException:
        program.kill_what_is_left()
        raise
    return program


def _wait_until(there: Callable[[], bool], program: Program) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        try:
            if there():
                return
        except httpx.TransportError:
            assert program.process.poll() is None, program.log
        assert time.monotonic() < deadline, program.log
        time.sleep(0.05)


@contextmanager
def serving(home: Path, cluster: Cluster, **how: Any) -> Iterator[Program]:
    """A program that must end well when it is told to."""
    program = start(home, cluster, **how)
    try:
        yield program
        assert program.process.poll() is None, program.log
        assert program.stop() == 0, program.log
        program.check_log()
    finally:
        program.kill_what_is_left()
