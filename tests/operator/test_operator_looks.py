"""
Looks at one affiliate, one after the other, on a real control plane and a real Kafka: what one
leaves to the next.
"""

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from control_plane import ControlPlane
from kafka_broker import Cluster
from looking_on import Died, Fuse, looking_on
from mounting import files
from operating import condition, topics
from tenants import affiliate
from trackmate_operator.clock import Clock
from trackmate_operator.reconcile import Unfinished

pytestmark = [pytest.mark.needs("cluster"), pytest.mark.needs("kafka"), pytest.mark.timeout(240)]


@dataclass(frozen=True)
class Hands(Clock):
    """A clock that a test moves on."""

    passed: list[float] = field(default_factory=lambda: [1000.0])

    def elapsed_s(self) -> float:
        return sum(self.passed)


def test_what_was_changed_again_is_mended_a_minute_later(
    plane: ControlPlane, kafka: Cluster, home: Path
) -> None:
    where = ("resourcequota", "trackmate", "-n", "trackmate-again")

    def pods() -> str:
        found: str = plane.read(*where)["spec"]["hard"]["pods"]
        return found

    async def scenario() -> None:
        clock = Hands()
        async with (
            looking_on(home, plane, kafka, resync="300s") as looking,
            looking.living(Fuse(), clock) as reconciler,
        ):
            plane.apply(affiliate("again"))
            await looking.finished(reconciler, "again")
            planned = pods()
            for wanted in ("7", "8"):
                patch = json.dumps({"spec": {"hard": {"pods": wanted}}})
                plane.kubectl("patch", *where, "--type=merge", "-p", patch)
                after = await reconciler.look("again")
            assert (pods(), after) == ("8", 60)
            clock.passed.append(60)
            await reconciler.look("again")
            assert pods() == planned

    asyncio.run(scenario())


@pytest.mark.parametrize("steps", [0, 2, 4])
def test_a_topic_that_somebody_removed_is_said_once_wherever_the_look_before_died(
    plane: ControlPlane, kafka: Cluster, home: Path, steps: int
) -> None:
    name = f"bereft-{steps}"

    async def scenario() -> None:
        async with looking_on(home, plane, kafka) as looking:
            plane.apply(affiliate(name))
            await looking.look(name)
            before = plane.read("affiliate", name)["status"]["streams"]
            await looking.admin.delete([f"{name}.events"])

            with pytest.raises(Died):
                await looking.look(name, Fuse(steps))
            async with looking.living(Fuse()) as reconciler:
                with pytest.raises(Unfinished):
                    await reconciler.look(name)
            found = plane.read("affiliate", name)
            assert condition(found) == (
                "False",
                "TopicLost",
                f"Topic '{name}.events' was removed by somebody, with its data.",
            )
            assert found["status"]["streams"] != before
            await looking.look(name)
            assert condition(plane.read("affiliate", name))[:2] == ("True", "Ready")

    asyncio.run(scenario())


def test_a_topic_that_no_stream_names_may_be_removed_by_hand(
    plane: ControlPlane, kafka: Cluster, home: Path
) -> None:
    async def scenario() -> None:
        async with looking_on(home, plane, kafka) as looking:
            plane.apply(affiliate("freed", streams=[{"name": "events"}, {"name": "images"}]))
            await looking.look("freed")
            assert "retained" not in plane.read("affiliate", "freed")["status"]
            plane.apply(affiliate("freed", streams=[{"name": "events"}]))
            await looking.look("freed")
            left = plane.read("affiliate", "freed")["status"]["retained"]
            assert left == [{"kind": "Topic", "name": "freed.images"}]
            await looking.admin.delete(["freed.images"])

            async with looking.living(Fuse()) as reconciler:
                await reconciler.look("freed")
            found = plane.read("affiliate", "freed")
            assert condition(found)[:2] == ("True", "Ready")
            assert "retained" not in found["status"]
            events = plane.read("events", "-n", "default")["items"]
            told = [one["message"] for one in events if one["involvedObject"]["name"] == "freed"]
            assert "Topic 'freed.images' was removed by somebody, with its data." in told

            rest = Fuse()
            await looking.look("freed", rest)
            assert rest.taken == 0, "what was said is not said again"
            assert "freed.images" not in topics(kafka)

    asyncio.run(scenario())


def test_another_template_of_the_platform_moves_nobody(
    plane: ControlPlane, kafka: Cluster, home: Path
) -> None:
    def host() -> str:
        written = files(plane, "configmap", "trackmate-ingest", "trackmate-settled")
        [found] = yaml.safe_load(written["settings.yaml"])["spec"]["ingest"]["hosts"]
        return str(found)

    async def looked(template: str, **spec: Any) -> Any:
        plane.apply(affiliate("settled", **spec))
        async with looking_on(home, plane, kafka, hostTemplate=template) as looking:
            await looking.look("settled")
        return plane.read("affiliate", "settled")["status"]

    before = asyncio.run(looked("{affiliate}.old.example"))
    assert before["pinned"] == {
        "id": before["id"],
        "namespace": "trackmate-settled",
        "host": "settled.old.example",
    }
    after = asyncio.run(looked("{affiliate}.new.example"))
    assert (after["pinned"], after["endpoint"]) == (before["pinned"], "https://settled.old.example")
    assert host() == "settled.old.example"

    scoped = asyncio.run(looked("{affiliate}.new.example", store={"isolation": "Scope"}))
    assert scoped["pinned"] == {**before["pinned"], "isolation": "Scope"}
