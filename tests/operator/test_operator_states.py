"""
Whatever is done to an affiliate, in whatever order: after the operator has looked, everything is as
declared, nothing that was stored is lost, nobody else is touched, and another look writes nothing.
"""

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from control_plane import ControlPlane, control_plane
from kafka_broker import Cluster, kafka_brokers
from looking_on import Fuse, LookingOn, looking_on
from mounting import keys
from operating import SYSTEM, condition, store, stored, topics, users
from tenants import affiliate, pipeline
from trackmate_operator.backend import Down

pytestmark = [pytest.mark.needs("cluster"), pytest.mark.needs("kafka"), pytest.mark.timeout(900)]

RUNS = int(os.environ.get("TRACKMATE_STATE_RUNS", "2"))
KINDS = "secret,configmap,networkpolicy,resourcequota,limitrange,role,rolebinding"
STREAMS = ("events", "orders")
KEYS = ("web", "app")
_numbers = iter(range(10**6))


class Tenants(RuleBasedStateMachine):
    """One affiliate that everything happens to, and its neighbour, to whom nothing does."""

    plane: ControlPlane
    kafka: Cluster
    looking: LookingOn
    loop: asyncio.AbstractEventLoop
    neighbour: Any
    failures: list[Exception]

    def __init__(self) -> None:
        super().__init__()
        self.name = f"tenant-{next(_numbers)}"
        self.streams: set[str] = set()
        self.keys: set[str] = set()
        self.pipelines: dict[str, str] = {}
        """The stream of each."""
        self.running: set[str] = set()
        """Of those. One whose stream left the spec runs on by its settings, as long as they are."""
        self.declared = False
        self.stored: dict[str, int] = {}
        self.known: dict[str, str] = {}
        """The values that keys had when they were first seen."""

    @rule(
        streams=st.sets(st.sampled_from(STREAMS), min_size=1),
        names=st.sets(st.sampled_from(KEYS), min_size=1),
    )
    def declare(self, streams: set[str], names: set[str]) -> None:
        """Made, changed, or made again after it was deleted."""
        self.streams, self.keys, self.declared = streams, names, True
        self.running |= {name for name, stream in self.pipelines.items() if stream in streams}
        self.plane.apply(
            affiliate(
                self.name,
                id=f"af-{self.name}",
                streams=[{"name": one, "partitions": 1} for one in sorted(streams)],
                ingest={"keys": [{"name": one, "use": "Browser"} for one in sorted(names)]},
            )
        )
        self.look()

    @precondition(lambda self: self.declared)
    @rule()
    def delete(self) -> None:
        self.plane.kubectl("delete", "affiliate", self.name, "--wait=false")
        self.declared = False
        self.running.clear()
        self.look()
        assert self.plane.tried("get", "affiliate", self.name).returncode != 0

    @precondition(lambda self: self.declared)
    @rule(name=st.sampled_from(["one", "two"]))
    def pipe(self, name: str) -> None:
        self.pipelines[name] = min(self.streams)
        self.running.add(name)
        self.plane.apply(pipeline(name, self.namespace, stream=self.pipelines[name]))
        self.look()

    @precondition(lambda self: self.pipelines)
    @rule(data=st.data())
    def unpipe(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.pipelines)))
        self.plane.kubectl("delete", "pipeline", name, "-n", self.namespace)
        del self.pipelines[name]
        self.running.discard(name)
        self.look()

    @precondition(lambda self: self.declared)
    @rule(which=st.integers(0, 99))
    def lose(self, which: int) -> None:
        """Somebody deletes something of ours: what is drawn must not hang on what is there."""
        found = self.plane.read(KINDS, "-n", self.namespace)["items"]
        ours = sorted(
            (one["kind"], one["metadata"]["name"])
            for one in found
            if "trackmate.io/affiliate" in one["metadata"].get("labels", {})
        )
        kind, lost = ours[which % len(ours)]
        self.plane.kubectl("delete", kind, lost, "-n", self.namespace)
        if kind == "ConfigMap":
            self.running -= {
                name
                for name, stream in self.pipelines.items()
                if lost == f"trackmate-pipeline-{name}" and stream not in self.streams
            }
        self.look()

    @precondition(lambda self: self.declared)
    @rule()
    def lose_everything(self) -> None:
        """Somebody deletes the namespace."""
        self.plane.kubectl("delete", "namespace", self.namespace, "--timeout=60s")
        self.pipelines.clear()
        self.running.clear()
        self.look()

    @precondition(lambda self: self.declared)
    @rule()
    def store(self) -> None:
        topic = f"{self.name}.{min(self.streams)}"
        store(self.kafka, topic)
        self.stored[topic] = self.stored.get(topic, 0) + 1

    @precondition(lambda self: self.declared)
    @rule()
    def outage(self) -> None:
        """Kafka is away while somebody edits; then it is back."""
        [broker] = self.kafka.brokers
        broker.kill()
        try:
            self.plane.kubectl("delete", "secret", f"{self.name}-keys", "-n", self.namespace)
            with pytest.raises(Down, match="cannot be reached"):
                self.look()
        finally:
            broker.start()
            self.kafka.wait()
        self.look()

    def teardown(self) -> None:
        """Hypothesis repeats a failure and reports, where it does not come again, only that."""
        failure = sys.exc_info()[1]
        if isinstance(failure, Exception):
            type(self).failures.append(failure)

    @property
    def namespace(self) -> str:
        return f"trackmate-{self.name}"

    def look(self, fuse: Fuse | None = None) -> None:
        self.loop.run_until_complete(self.looking.look(self.name, fuse))

    @invariant()
    def everything_is_as_declared(self) -> None:
        mine = {user for user in users(self.kafka) if user.split(".")[0] in self._principals()}
        if not self.declared:
            assert not mine, "whoever was deleted logs in no more"
            return
        found = self.plane.read("affiliate", self.name)
        assert condition(found) == ("True", "Ready", "Everything is as the spec says.")
        assert mine == {f"{self.name}-ingest", *(f"{self.name}.{name}" for name in self.running)}
        held = keys(self.plane, self.name)
        assert self.keys <= set(held)
        for name in self.keys:
            assert held[name] == self.known.setdefault(name, held[name]), "the same key for ever"

    def _principals(self) -> set[str]:
        return {self.name, f"{self.name}-ingest"}

    @invariant()
    def nothing_stored_is_lost(self) -> None:
        there = topics(self.kafka)
        for topic, number in self.stored.items():
            assert topic in there
            assert stored(self.kafka, topic) == number

    @invariant()
    def another_look_writes_nothing(self) -> None:
        if self.declared:
            fuse = Fuse()
            self.look(fuse)
            assert fuse.taken == 0

    @invariant()
    def the_neighbour_is_not_touched(self) -> None:
        assert versions(self.plane, "neighbour") == self.neighbour


def versions(plane: ControlPlane, name: str) -> dict[str, str]:
    found = plane.read(KINDS, "-n", f"trackmate-{name}")["items"]
    return {
        f"{one['kind']}/{one['metadata']['name']}": one["metadata"]["resourceVersion"]
        for one in found
    }


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[type[Tenants]]:
    with ExitStack() as stack:
        plane = stack.enter_context(control_plane())
        kafka = stack.enter_context(kafka_brokers(secured=True))
        plane.install_crds()
        plane.kubectl("create", "namespace", SYSTEM)
        loop = asyncio.new_event_loop()
        stack.callback(loop.close)
        running = looking_on(tmp_path, plane, kafka)
        looking = loop.run_until_complete(running.__aenter__())
        stack.callback(lambda: loop.run_until_complete(running.__aexit__(None, None, None)))
        plane.apply(affiliate("neighbour"))
        loop.run_until_complete(looking.look("neighbour"))

        class Here(Tenants):
            pass

        Here.plane, Here.kafka, Here.looking, Here.loop = plane, kafka, looking, loop
        Here.neighbour, Here.failures = versions(plane, "neighbour"), []
        yield Here


def test_whatever_is_done_in_whatever_order(machine: type[Tenants]) -> None:
    """
    Each run by itself: of two that begin alike on a real cluster Hypothesis would ask that they go
    on alike. The first of its two examples is always the simplest.
    """
    for _ in range(RUNS):
        try:
            run_state_machine_as_test(machine, settings=WALK)
        except Flaky as seldom:
            raise machine.failures[0] from seldom


WALK = settings(
    max_examples=2,
    stateful_step_count=8,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],  # a step takes seconds
    suppress_health_check=list(HealthCheck),
)
