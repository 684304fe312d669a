"""
What affiliates cost the operator: a real control plane and a one-broker Kafka beside it.

    PYTHONPATH=tests/harness python bench/affiliates.py --affiliates 100 300 1000

For each number, on a cluster of its own: applied at once, until all are Ready; then the operator
begins anew with nothing to do; then objects of ours are removed by hand, one after the other, until
each is back; then, the operator gone, a bare loop makes the same writes under other names, as many
at once, and reads nothing. Writes are counted by the API server's own log. CPU is that of the
operator's process, user and system; its memory is the RSS at the end of each part.
"""

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from control_plane import ControlPlane, control_plane
from kafka_broker import Cluster as Broker
from kafka_broker import kafka_brokers
from kafka_parts import load, tree_cpu_seconds
from operating import SYSTEM, Operating, settings, start
from run import machine, rss_mb
from tenants import affiliate
from trackmate_contract.kafka_rights import ingest_rights
from trackmate_operator.apply import children
from trackmate_operator.cluster import Cluster
from trackmate_operator.configuration import load as configured
from trackmate_operator.kafka.admin import Admin
from trackmate_operator.kafka.registry import Registry
from trackmate_operator.kafka.rights import wanted_acls
from trackmate_operator.kinds import AFFILIATE, NAMESPACE, Ref
from trackmate_operator.plan.kafka import Topic, User, ingest_user
from trackmate_operator.registration import Registration
from trackmate_operator.saying import note
from trackmate_operator.tenant import Document
from waiting_for import wait_until

_LONG_S = 3600
_AT_ONCE = 8  # as the operator's queue
_POLL_S = 0.5
_WRITES = {"create", "update", "patch", "delete"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--affiliates", type=int, nargs="+", default=[100])
    parser.add_argument("--repairs", type=int, default=100)
    asked = parser.parse_args()
    print(machine())
    for number in asked.affiliates:
        measure(number, asked.repairs)


def measure(number: int, repairs: int) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        control_plane(audited=True) as plane,
        kafka_brokers(secured=True) as kafka,
    ):
        plane.install_crds()
        plane.kubectl("create", "namespace", SYSTEM)
        home, audit = Path(folder), Audit(plane)
        running = start(home, plane, kafka, resync="1h")
        wait_until(lambda: running.said("leading"), "it leads", seconds=60)
        took = make(plane, audit, running, number)
        running.stop()
        running = again(audit, lambda: start(home, plane, kafka, resync="1h"), number)
        repair(plane, repairs, number)
        running.stop()
        os.environ["KUBECONFIG"] = str(plane.kubeconfig)
        bare = asyncio.run(bare_loop(settings(home, kafka), kafka, number))
        print(f"- a bare loop: {bare:.1f} s; the operator took {took / bare:.2f} times as long")
    print(load())


class Audit:
    """The API server's own log, read as it grows and over its rotation."""

    def __init__(self, plane: ControlPlane) -> None:
        self._file = plane.home / "audit.log"
        self._log = self._file.open()
        self._begun = ""
        self.writes: Counter[str] = Counter()
        """By the operator, about affiliates; not the Lease."""
        self.read: set[str] = set()
        """Affiliates that were read: a look begins so."""

    def look(self) -> None:
        """Count what came since."""
        self._count()
        if self._file.stat().st_ino != os.fstat(self._log.fileno()).st_ino:
            self._count()
            self._log.close()
            self._log, self._begun = self._file.open(), ""
            self._count()

    def _count(self) -> None:
        for text in self._log:
            self._begun += text
            if self._begun.endswith("\n"):
                self._note(json.loads(self._begun))
                self._begun = ""

    def _note(self, request: dict[str, Any]) -> None:
        about = request.get("objectRef", {})
        if request["stage"] != "ResponseComplete" or request.get("userAgent") != "trackmate":
            return
        if request["verb"] == "get" and about.get("resource") == "affiliates":
            self.read.add(about["name"])
        elif request["verb"] in _WRITES and about.get("resource") != "leases":
            self.writes["/".join(filter(None, [about["resource"], about.get("subresource")]))] += 1


def make(plane: ControlPlane, audit: Audit, running: Operating, number: int) -> float:
    pid = running.process.pid
    cpu, began = tree_cpu_seconds(pid), time.monotonic()
    plane.apply(*[declared(f"bench-{n:04}") for n in range(number)])
    applied = time.monotonic() - began
    with plane.http() as client:
        wait_until(lambda: ready(client) == number, "all are Ready", seconds=_LONG_S)
    took, used = time.monotonic() - began, tree_cpu_seconds(pid) - cpu
    audit.look()
    print(f"- {number} applied in {applied:.1f} s, all Ready after {took:.1f} s")
    each = audit.writes.total() / number
    print(f"- {each:.1f} writes an affiliate, Events among them: {dict(audit.writes)}")
    print(f"- {used / number * 1000:.0f} ms of CPU an affiliate; {rss_mb(pid):.0f} MB")
    return took


def again(audit: Audit, begin: Callable[[], Operating], number: int) -> Operating:
    before = audit.writes.total()
    audit.read.clear()
    began = time.monotonic()
    running = begin()

    def all_looked_at() -> bool:
        audit.look()
        return len(audit.read) >= number

    wait_until(all_looked_at, "all were looked at", seconds=_LONG_S)
    took, pid = time.monotonic() - began, running.process.pid
    print(
        f"- begun anew: all looked at {took:.1f} s after its start, "
        f"{audit.writes.total() - before} writes, {tree_cpu_seconds(pid):.1f} s of CPU, "
        f"{rss_mb(pid):.0f} MB"
    )
    return running


def repair(plane: ControlPlane, times: int, number: int) -> None:
    took = []
    with plane.http() as client:
        for turn in range(times):
            namespace = f"trackmate-bench-{turn % number:04}"
            path = f"/api/v1/namespaces/{namespace}/configmaps/trackmate-ingest"
            client.delete(path).raise_for_status()
            began = time.monotonic()
            while client.get(path).status_code != httpx.codes.OK:
                time.sleep(0.005)
            took.append(time.monotonic() - began)
    took.sort()
    p99 = took[min(len(took) - 1, int(len(took) * 0.99))]
    print(f"- removed by hand to back: p50 {statistics.median(took):.2f} s, p99 {p99:.2f} s")


def declared(name: str) -> dict[str, Any]:
    return affiliate(name, streams=[{"name": "events", "partitions": 1}])


@dataclass
class _Bare:
    """What the loop writes with, and the objects of one affiliate to write over and over."""

    cluster: Cluster
    admin: Admin
    registry: Registry
    objects: list[Document]
    topic: dict[str, str]

    async def make(self, name: str) -> None:
        made = await self.cluster.apply(declared(name))
        await self.cluster.patch(
            Ref(AFFILIATE, name),
            [{"op": "add", "path": "/metadata/finalizers", "value": ["trackmate.io/finalizer"]}],
        )
        for one in self.objects:
            await self.cluster.apply(renamed(one, name))
        user = User(ingest_user(name), ingest_rights(name, ["events"]), produce_bytes=1 << 20)
        topic = Topic(f"{name}.events", 1, 1, self.topic)
        await self.registry.save(Registration(name, name, {topic.name: ""}))
        await self.admin.create([topic])
        await self.admin.limit({(("user", user.name),): {"producer_byte_rate": 1 << 20}})
        await self.admin.set_passwords({user.name: "x" * 43})
        await self.admin.allow(sorted(wanted_acls(user)))
        await self.registry.save(Registration(name, name, {topic.name: "T"}))
        await note(self.cluster, made, "Ready", "Bare.", now="2026-11-28T00:00:00Z")
        status = {"id": name, "observedGeneration": 1, "conditions": []}
        whole = {key: made[key] for key in ("apiVersion", "kind")}
        await self.cluster.apply_status({**whole, "metadata": {"name": name}, "status": status})


async def bare_loop(file: Path, kafka: Broker, number: int) -> float:
    """Seconds."""
    configuration = configured(file, {})
    cluster, admin = await Cluster.reached(), Admin(configuration.access)
    registry = Registry(admin, configuration.platform.settings.topics)
    try:
        await registry.open()
        namespace = await cluster.get(Ref(NAMESPACE, "trackmate-bench-0000"))
        found = await children(cluster, "trackmate-bench-0000", "bench-0000")
        assert namespace is not None
        config = (await admin.topics(["bench-0000.events"]))["bench-0000.events"].config
        kept = {key: config[key] for key in ("cleanup.policy", "retention.ms", "max.message.bytes")}
        bare = _Bare(cluster, admin, registry, [namespace, *found.values()], kept)
        names = iter([f"bare-{n:04}" for n in range(number)])

        async def work() -> None:
            for name in names:
                await bare.make(name)

        began = time.monotonic()
        await asyncio.gather(*(work() for _ in range(_AT_ONCE)))
        return time.monotonic() - began
    finally:
        await registry.close()
        await admin.close()
        await cluster.close()


def renamed(document: Document, name: str) -> Document:
    """As it was applied, for another affiliate."""
    metadata = document["metadata"]
    kept = {
        key: metadata[key]
        for key in ("name", "namespace", "labels", "annotations")
        if key in metadata
    }
    bare = {key: value for key, value in document.items() if key not in {"metadata", "status"}}
    return json.loads(json.dumps({**bare, "metadata": kept}).replace("bench-0000", name))  # type: ignore[no-any-return]


def ready(client: httpx.Client) -> int:
    """By the column that kubectl prints."""
    asked = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    table = client.get("/apis/trackmate.io/v1alpha1/affiliates", headers=asked).json()
    column = [one["name"] for one in table["columnDefinitions"]].index("Ready")
    time.sleep(_POLL_S)
    return sum(row["cells"][column] == "True" for row in table["rows"])


if __name__ == "__main__":
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    main()
