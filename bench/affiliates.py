"""
What an affiliate costs the operator: a real control plane and a one-broker Kafka beside it.

    PYTHONPATH=tests/harness python bench/affiliates.py --affiliates 100

Applied at once, until all are Ready; then the operator begins anew with nothing to do; then objects
of ours are removed by hand, one after the other, until each is back. Writes are counted by the API
server's own log. CPU is that of the operator's process, user and system.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx

from control_plane import ControlPlane, control_plane
from kafka_broker import kafka_brokers
from kafka_parts import load, tree_cpu_seconds
from operating import SYSTEM, Operating, condition, start
from run import machine, rss_mb
from tenants import affiliate
from waiting_for import wait_until

_LONG_S = 1800


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--affiliates", type=int, default=100)
    parser.add_argument("--repairs", type=int, default=30)
    asked = parser.parse_args()
    print(machine())
    with (
        tempfile.TemporaryDirectory() as folder,
        control_plane(audited=True) as plane,
        kafka_brokers(secured=True) as kafka,
    ):
        plane.install_crds()
        plane.kubectl("create", "namespace", SYSTEM)
        home = Path(folder)
        running = start(home, plane, kafka, resync="1h")
        wait_until(lambda: running.said("leading"), "it leads", seconds=60)
        make(plane, running, asked.affiliates)
        running.stop()
        running = start(home, plane, kafka, resync="1h")
        again(plane, running, asked.affiliates)
        repair(plane, asked.repairs, asked.affiliates)
        running.stop()
    print(load())


def make(plane: ControlPlane, running: Operating, number: int) -> None:
    pid = running.process.pid
    cpu, began = tree_cpu_seconds(pid), time.monotonic()
    plane.apply(
        *[affiliate(name(n), streams=[{"name": "events", "partitions": 1}]) for n in range(number)]
    )
    applied = time.monotonic() - began
    wait_until(lambda: ready(plane) == number, "all are Ready", seconds=_LONG_S)
    took, used = time.monotonic() - began, tree_cpu_seconds(pid) - cpu
    writes = written(plane)
    print(f"- {number} applied in {applied:.1f} s, all Ready after {took:.1f} s")
    each = sum(writes.values()) / number
    print(f"- {each:.1f} writes an affiliate, Events among them: {dict(writes)}")
    print(f"- {used / number * 1000:.0f} ms of CPU an affiliate; {rss_mb(pid):.0f} MB")


def again(plane: ControlPlane, running: Operating, number: int) -> None:
    pid, before = running.process.pid, sum(written(plane).values())
    began = time.monotonic()
    wait_until(lambda: looked(running) >= number, "all were looked at", seconds=_LONG_S)
    took = time.monotonic() - began
    more = sum(written(plane).values()) - before
    print(
        f"- begun anew: all looked at {took:.1f} s after its start, {more} writes, "
        f"{tree_cpu_seconds(pid):.1f} s of CPU, {rss_mb(pid):.0f} MB"
    )


def repair(plane: ControlPlane, times: int, number: int) -> None:
    took = []
    with plane.http() as client:
        for turn in range(times):
            path = f"/api/v1/namespaces/trackmate-{name(turn % number)}/configmaps/trackmate-ingest"
            client.delete(path).raise_for_status()
            began = time.monotonic()
            while client.get(path).status_code != 200:
                time.sleep(0.005)
            took.append(time.monotonic() - began)
    took.sort()
    p99 = took[min(len(took) - 1, int(len(took) * 0.99))]
    print(f"- removed by hand to back: p50 {statistics.median(took):.2f} s, p99 {p99:.2f} s")


def name(number: int) -> str:
    return f"bench-{number:04}"


def ready(plane: ControlPlane) -> int:
    found: list[Any] = plane.read("affiliates")["items"]
    return sum(condition(one)[0] == "True" for one in found)


def looked(running: Operating) -> int:
    """By its own metrics."""
    [started] = running.said("started")
    text = httpx.get(f"http://127.0.0.1:{started['port']}/metrics", trust_env=False).text
    lines = [line for line in text.splitlines() if 'result="success"' in line and "_total" in line]
    return int(sum(float(line.rsplit(" ", 1)[1]) for line in lines))


def written(plane: ControlPlane) -> Counter[str]:
    """By the operator, about affiliates; not the Lease."""
    found: Counter[str] = Counter()
    for line in (plane.home / "audit.log").read_text().splitlines():
        request = json.loads(line)
        about = request.get("objectRef", {})
        if (
            request["stage"] == "ResponseComplete"
            and request["verb"] in {"create", "update", "patch", "delete"}
            and request.get("userAgent") == "trackmate"
            and about.get("resource") != "leases"
        ):
            found["/".join(filter(None, [about["resource"], about.get("subresource")]))] += 1
    return found


if __name__ == "__main__":
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    main()
