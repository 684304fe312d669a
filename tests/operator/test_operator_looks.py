"""
Looks at one affiliate, one after the other, on a real control plane and a real Kafka: what one
leaves to the next.
"""

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from control_plane import ControlPlane
from kafka_broker import Cluster
from looking_on import Fuse, looking_on
from tenants import affiliate
from trackmate_operator.clock import Clock

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
