"""
What it costs, and what is sustained: `make bench`. Prints figures as Markdown, with the machine.

CPU is that of the server's process (user and system), a request, from /proc; the load comes from
another core. Ratios are against the null application on the same server, in turns A B B A, and the
median of the turns is given with their range: a figure alone says more of the machine than of us.
"""

import argparse
import asyncio
import json
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from load import Result, offer
from servers import KEY

HERE = Path(__file__).parent
TRACKMATE = str(Path(sys.executable).with_name("trackmate"))
EVENT = (
    '{"type":"track","event":"Booking Completed","messageId":"ID","anonymousId":"%d","properties":'
    '{"total":12.5,"currency":"EUR","items":[1,2,3]},"context":{"page":{"url":"https://www.acme.'
    'example/checkout?x=1","title":"Checkout"},"userAgent":"Mozilla/5.0 (X11; Linux x86_64)"},'
    '"timestamp":"2026-11-24T00:00:00Z"}'
)
MANIFEST = """\
apiVersion: trackmate.io/v1alpha1
kind: Affiliate
metadata: {name: acme}
spec:
  ingest:
    keys: [{name: server, use: Server}]
    limits: {requestsPerSecond: 100000, bytesPerSecond: 1Gi}
"""
WRK = """\
local n = 0
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer %s"
function request()
  local events = {}
  for i = 1, %d do
    n = n + 1
    events[i] = string.gsub('%s', "ID", string.format("%%015d-%%d", n, %d))
  end
  return wrk.format(nil, "/v1/events", nil, %s)
end
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5, help="of each measurement")
    parser.add_argument("--turns", type=int, default=2, help="of A B B A")
    parser.add_argument("--only", choices=["cost", "rate", "many", "start"], help="one part alone")
    asked = parser.parse_args()
    if shutil.which("wrk") is None or (os.cpu_count() or 1) < 2:
        sys.exit("The benchmark needs two cores and wrk: apt-get install wrk")
    print(machine())
    parts = {
        "cost": lambda: cost(asked.seconds, asked.turns),
        "rate": lambda: sustained(asked.seconds),
        "many": many,
        "start": start,
    }
    for name, part in parts.items():
        if asked.only in {None, name}:
            part()


def machine() -> str:
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return (
        f"{os.cpu_count()} cores ({model}), {gib:.0f} GiB, {platform.system()} "
        f"{platform.release()}, Python {platform.python_version()}; fsync {sync_ms():.2f} ms\n"
    )


def sync_ms() -> float:
    with tempfile.TemporaryFile() as file:
        took = []
        for _ in range(50):
            began = time.perf_counter()
            os.write(file.fileno(), b"x" * 4096)
            os.fdatasync(file.fileno())
            took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took)


def cost(seconds: float, turns: int) -> None:
    """CPU a request and an event, against the null application."""
    print("| events a request | null µs/request | ours µs/request | ours µs/event | ratio |")
    print("|---|---|---|---|---|")
    for events in (1, 10, 100):
        nulls: list[float] = []
        ours: list[float] = []
        for _ in range(turns):
            for name in ("null", "ingest", "ingest", "null"):
                into = nulls if name == "null" else ours
                with served(name) as (port, pid):
                    into.append(cpu_a_request(port, pid, events, seconds))
        ratios = sorted(mine / theirs for mine, theirs in zip(ours, nulls, strict=True))
        mine = statistics.median(ours)
        print(
            f"| {events} | {statistics.median(nulls):.1f} | {mine:.1f} | {mine / events:.2f} | "
            f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}) |",
            flush=True,
        )
    print()


@contextmanager
def served(name: str) -> Iterator[tuple[int, int]]:
    """One of the two servers on the second core."""
    port = free_port()
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as directory:
        process = subprocess.Popen(
            ["taskset", "-c", "1", sys.executable, HERE / "servers.py", name, str(port), directory]
        )
        try:
            wait_for_port(port)
            yield port, process.pid
        finally:
            process.terminate()
            process.wait()


def cpu_a_request(
    port: int, pid: int, events: int, seconds: float, *, event: str = EVENT % 7
) -> float:
    """Microseconds of the process, a request, under a closed loop of 64 connections."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        body = "events[1]" if events == 1 else '"[" .. table.concat(events, ",") .. "]"'
        script.write(WRK % (KEY, events, event, pid, body))
        script.flush()
        before = cpu_seconds(pid)
        done = subprocess.run(
            [
                *("taskset", "-c", "0", "wrk", "-t1", "-c64", f"-d{seconds:g}s"),
                *("-s", script.name, f"http://127.0.0.1:{port}/"),
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        used = cpu_seconds(pid) - before
    assert "Non-2xx" not in done.stdout, done.stdout
    requests = int(done.stdout.partition(" requests in")[0].split()[-1])
    return used / requests * 1e6


def sustained(seconds: float) -> None:
    """`trackmate dev` with the store keeping up, at rates that are promised."""
    print("| offered | answered 200 | p50 ms | p99 ms | lag after, s | server CPU |")
    print("|---|---|---|---|---|---|")
    for rate, events in ((5000, 1), (150, 100)):
        with trackmate() as (url, pid, key):
            port = int(url.rsplit(":", 1)[1])
            make = maker(key, events)
            made = [make(number) for number in range(int(rate * seconds * 2))]
            before = cpu_seconds(pid)
            result = asyncio.run(
                offer(port, made.__getitem__, rate=rate, seconds=seconds * 2, connections=64)
            )
            used = (cpu_seconds(pid) - before) / (seconds * 2)
            show_sustained(rate, events, result, lag(url), used)
    print()


def show_sustained(rate: int, events: int, result: Result, lag_s: float, cpu: float) -> None:
    print(
        f"| {rate} requests/s of {events} | {len(result.seconds)} of "
        f"{len(result.seconds) + result.refused} | {result.percentile(0.5) * 1000:.1f} | "
        f"{result.percentile(0.99) * 1000:.1f} | {lag_s:.2f} | {cpu:.2f} cores |",
        flush=True,
    )


def maker(key: str, events: int) -> Callable[[int], bytes]:
    head = (
        "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {key}\r\nContent-Length: "
    ).encode()
    event = (EVENT % 7).encode()

    def make(number: int) -> bytes:
        ids = range(number * events, (number + 1) * events)
        texts = [event.replace(b"ID", b"%015d" % n) for n in ids]
        body = texts[0] if events == 1 else b"[" + b",".join(texts) + b"]"
        return head + b"%d\r\n\r\n" % len(body) + body

    return make


def many() -> None:
    """Memory with ten thousand connections, and with a million distinct ids stored."""
    with trackmate() as (url, pid, key):
        idle = rss_mb(pid)
        port = int(url.rsplit(":", 1)[1])
        made = maker(key, 1)(0)
        connections = [ask_once(port, made) for _ in range(10_000)]
        print(f"- idle {idle:.0f} MB; with 10,000 open connections {rss_mb(pid):.0f} MB")
        for connection in connections:
            connection.close()
    with trackmate() as (url, pid, key):
        port = int(url.rsplit(":", 1)[1])
        began = time.perf_counter()
        asyncio.run(offer(port, maker(key, 500), rate=100, seconds=20, connections=8))
        while books(url)["pipelines"][0]["in_flight"]:
            time.sleep(0.2)
        took = time.perf_counter() - began
        documents = books(url)["pipelines"][0]["documents"]
        print(f"- {documents:,} distinct ids stored in {took:.0f} s: {rss_mb(pid):.0f} MB\n")


def ask_once(port: int, request: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port))
    connection.sendall(request)
    assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    return connection


def start() -> None:
    """How long until it answers, and what it uses while nothing happens."""
    began = time.perf_counter()
    with trackmate() as (_, pid, _):
        ready = time.perf_counter() - began
        before, since = cpu_seconds(pid), time.perf_counter()
        time.sleep(10)
        idle = (cpu_seconds(pid) - before) / (time.perf_counter() - since)
        print(f"- `trackmate dev` answers after {ready:.1f} s")
        print(f"- idle: {idle * 100:.2f} % of a core, {rss_mb(pid):.0f} MB")


@contextmanager
def trackmate(*more: str) -> Iterator[tuple[str, int, str]]:
    """A whole `trackmate dev`, with more manifests: its address, process and key."""
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as name:
        home = Path(name)
        (home / "affiliates").mkdir()
        (home / "affiliates" / "acme.yaml").write_text("---\n".join([MANIFEST, *more]), "utf-8")
        with (home / "log").open("wb") as log:
            process = subprocess.Popen(
                [TRACKMATE, "dev", "affiliates", "--port", "0", "--drain", "1s"],
                cwd=home,
                stdout=log,
                stderr=log,
            )
        try:
            url = wait_for_instance(home / ".trackmate" / "instance.json")
            key = get(f"{url}/api/affiliates/acme")["keys"][0]["key"]
            yield url, process.pid, key
        finally:
            process.terminate()
            process.wait()


def wait_for_instance(file: Path) -> str:
    while not file.exists():
        time.sleep(0.01)
    url: str = json.loads(file.read_text("utf-8"))["url"]
    wait_for_port(int(url.rsplit(":", 1)[1]))
    return url


def wait_for_port(port: int) -> None:
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.01)
        else:
            return


def get(url: str) -> Any:
    return httpx.get(url, trust_env=False, timeout=60).json()


def books(url: str) -> Any:
    """As `trackmate audit --json`."""
    return get(f"{url}/api/affiliates/acme")["ledger"]


def lag(url: str) -> float:
    found: float = books(url)["pipelines"][0]["lag_seconds"]
    return found


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text("utf-8")
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


if __name__ == "__main__":
    main()
