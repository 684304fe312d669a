"""
A real `trackmate dev` for tests: its own process, port and folder, talked to as its users do.
"""

import json
import os
import signal
import subprocess
import sys
import time
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from loopback import LOOPBACK
from whole_lines import whole_lines

TRACKMATE = str(Path(sys.executable).with_name("trackmate"))

ACME = """\
apiVersion: trackmate.io/v1alpha1
kind: Affiliate
metadata: {name: acme}
spec:
  streams: [{name: events, partitions: 1}, {name: images, partitions: 1}]
  ingest:
    keys:
      - {name: web, use: Browser, origins: ["https://www.acme.example"]}
      - {name: server, use: Server}
    limits: {requestsPerSecond: 100000, bytesPerSecond: 1Gi}
"""

_START_SECONDS = 30


class Stored(NamedTuple):
    """One event as `trackmate tail --json` shows it."""

    stream: str
    offset: int
    id: str
    sha256: str
    value: bytes


@dataclass
class Dev:
    """One running instance, started in `home`, with its manifests in `home/affiliates`."""

    home: Path
    process: subprocess.Popen[bytes]
    url: str
    metrics_url: str

    @property
    def manifests(self) -> Path:
        return self.home / "affiliates"

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    @property
    def log(self) -> str:
        return whole_lines(self.home / "dev.log")

    def command(
        self, *arguments: str, stdin: bytes | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Run `trackmate …` in the instance's folder."""
        return subprocess.run(
            [TRACKMATE, *arguments], cwd=self.home, input=stdin, capture_output=True, check=False
        )

    def read(self, *arguments: str) -> Any:
        """Run `trackmate … --json` and return what it printed."""
        done = self.command(*arguments, "--json")
        assert done.returncode == 0, done.stderr.decode()
        return json.loads(done.stdout)

    def key(self, name: str, affiliate: str = "acme") -> str:
        """The newest value of a write key."""
        answer = httpx.get(f"{self.url}/api/affiliates/{affiliate}", **LOOPBACK)
        values = [k["key"] for k in answer.raise_for_status().json()["keys"] if k["name"] == name]
        return str(values[-1])

    def post(self, *events: Any, stream: str = "events") -> None:
        """Send one request with these events, which must be stored."""
        headers = {
            "Authorization": f"Bearer {self.key('server')}",
            "Content-Type": "application/json",
        }
        url = f"{self.url}/v1/events?stream={stream}"
        answer = httpx.post(url, content=json.dumps(events), headers=headers, **LOOPBACK)
        answer.raise_for_status()

    def tail(self, affiliate: str = "acme", stream: str = "") -> list[Stored]:
        """
        The log's events: the lines of `trackmate tail --json`, without a process for each look.
        """
        url = f"{self.url}/api/affiliates/{affiliate}/records"
        wanted = {"stream": stream} if stream else {}
        answer = httpx.get(url, params=wanted, **LOOPBACK, timeout=60)
        return [stored(line) for line in answer.raise_for_status().iter_lines()]

    def audit(self, affiliate: str = "acme") -> Any:
        return self.read("audit", affiliate)

    def settle(self, affiliate: str = "acme", *, seconds: float = 30) -> Any:
        """Wait until nothing is in flight, and return the books."""
        deadline = time.monotonic() + seconds
        while True:
            with httpx.Client(**LOOPBACK) as client:
                books = client.get(f"{self.url}/api/affiliates/{affiliate}").json()["ledger"]
            if not any(line["in_flight"] for line in books["pipelines"]):
                return books
            assert time.monotonic() < deadline, f"still in flight: {books}"
            time.sleep(0.05)

    def documents(self, affiliate: str = "acme") -> dict[str, bytes]:
        """The store's documents by their keys, read from the file itself."""
        import sqlite3  # noqa: PLC0415 - only here does a test look under the surface
        from contextlib import closing  # noqa: PLC0415

        file = self.home / ".trackmate" / "data" / f"{affiliate}.db"
        with closing(sqlite3.connect(file)) as connection:
            return dict(connection.execute("SELECT key, value FROM documents").fetchall())

    def kill(self) -> None:
        """kill -9."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM, and wait for the end."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)


def start(home: Path, *arguments: str, prefix: tuple[str, ...] = ()) -> Dev:
    """
    Start `trackmate dev affiliates` in `home` on a free port, and wait until it answers.

    `prefix` goes before the command, as in `("strace", "-f")`.
    """
    (home / "affiliates").mkdir(parents=True, exist_ok=True)
    return start_in(home, "affiliates", "--port", "0", *arguments, prefix=prefix)


def start_in(home: Path, *arguments: str, prefix: tuple[str, ...] = ()) -> Dev:
    """Start `trackmate dev` with these arguments alone, and wait until it answers."""
    found = home / ".trackmate" / "instance.json"
    found.unlink(missing_ok=True)
    with (home / "dev.log").open("ab") as log:
        process = subprocess.Popen(
            [*prefix, TRACKMATE, "dev", *arguments],
            cwd=home,
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONWARNINGS": "error"},
        )
    deadline = time.monotonic() + _START_SECONDS
    while not found.exists():
        said = (home / "dev.log").read_text("utf-8")
        assert process.poll() is None, f"trackmate dev ended: {said}"
        assert time.monotonic() < deadline, f"trackmate dev did not start: {said}"
        time.sleep(0.02)
    address = json.loads(found.read_text("utf-8"))
    _wait_until_ready(address["url"], deadline)
    return Dev(home, process, address["url"], address["metrics_url"])


@contextmanager
def serving(home: Path, *manifests: str, arguments: tuple[str, ...] = ()) -> Iterator[Dev]:
    """An instance of these manifests, which must end well when it is told to."""
    (home / "affiliates").mkdir(parents=True)
    for number, manifest in enumerate(manifests):
        (home / "affiliates" / f"{number}.yaml").write_text(manifest, "utf-8")
    dev = start(home, *arguments)
    try:
        yield dev
        assert dev.process.poll() is None, dev.log
        assert dev.stop() == 0, dev.log
    finally:
        if dev.process.poll() is None:
            dev.kill()


def _wait_until_ready(url: str, deadline: float) -> None:
    with httpx.Client(**LOOPBACK) as client:
        while True:
            try:
                if client.get(f"{url}/readyz").status_code == 200:
                    return
            except httpx.TransportError:
                assert time.monotonic() < deadline, "trackmate dev does not answer"
            time.sleep(0.02)


def stored(line: str | bytes) -> Stored:
    """From a line of `trackmate tail --json`."""
    found = json.loads(line)
    value = b64decode(found["base64"])
    return Stored(found["stream"], found["offset"], found["id"], found["sha256"], value)
