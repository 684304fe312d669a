"""
The operator's reconcile in this process, on a real control plane and a real Kafka, so that a test
can end it between any two steps.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from cluster_access import Cluster as Plane
from kafka_broker import Cluster as Kafka
from operating import settings
from tenants import affiliate, pipeline
from trackmate_operator.backend import Backend
from trackmate_operator.clock import Clock
from trackmate_operator.cluster import Cluster, Stale, Unanswered
from trackmate_operator.configuration import load
from trackmate_operator.deleting import Deletion
from trackmate_operator.kafka.admin import Admin
from trackmate_operator.kafka.direct import Direct
from trackmate_operator.kafka.registry import Registry
from trackmate_operator.kafka.strimzi import Strimzi
from trackmate_operator.kinds import AFFILIATE
from trackmate_operator.owning import Ownership
from trackmate_operator.platform import Platform
from trackmate_operator.reconcile import Reconciler, Unfinished

_ENOUGH = 10
_STRIMZI_S = 0.1  # between two looks, where somebody else makes what is waited for


class Died(BaseException):
    """As kill -9: no handler of the operator sees it."""


@dataclass
class Fuse:
    """Ends whoever takes one step too many; steps are what leaves this process to change things."""

    left: int | None = None
    taken: int = 0

    def step(self) -> None:
        """After a step was taken."""
        self.taken += 1
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise Died


_STEPS = {
    Cluster: ("apply", "apply_status", "create", "replace", "patch", "delete"),
    Admin: (
        *("create", "grow", "configure", "delete", "set_passwords", "drop_password"),
        *("allow", "disallow", "limit"),
    ),
    Registry: ("save", "forget"),
}


def fused(worker: Any, fuse: Fuse) -> Any:
    """The same, with the fuse behind every step."""
    for name in _STEPS[type(worker)]:
        setattr(worker, name, _behind(getattr(worker, name), fuse))
    return worker


def _behind(call: Callable[..., Any], fuse: Fuse) -> Callable[..., Any]:
    async def step(*arguments: Any, **named: Any) -> Any:
        done = await call(*arguments, **named)
        fuse.step()
        return done

    return step


@dataclass
class LookingOn:
    """What looks at affiliates, anew after each death."""

    cluster: Cluster
    admin: Admin
    platform: Platform

    @property
    def _again_s(self) -> float:
        return _STRIMZI_S if self.platform.settings.strimzi else 0

    @property
    def _enough(self) -> int:
        return 60 * _ENOUGH if self.platform.settings.strimzi else _ENOUGH

    def _backend(self, cluster: Cluster, admin: Admin, clock: Clock) -> Backend:
        strimzi = self.platform.settings.strimzi
        if strimzi is None:
            return Direct(admin, self.platform.root)
        return Strimzi(cluster, admin, strimzi, clock)

    async def look(self, name: str, fuse: Fuse | None = None) -> None:
        """One life: it looks until all is as it is to be, or the fuse blows."""
        async with self.living(fuse or Fuse()) as reconciler:
            await self.finished(reconciler, name)

    async def finished(self, reconciler: Reconciler, name: str) -> None:
        """Look until all is as it is to be."""
        for _ in range(self._enough):
            try:
                await reconciler.look(name)
            except (Unfinished, Stale, Unanswered):
                await asyncio.sleep(self._again_s)
                continue
            return
        raise AssertionError(f"{name} was not finished after {self._enough} looks")

    @asynccontextmanager
    async def living(self, fuse: Fuse, clock: Clock | None = None) -> AsyncIterator[Reconciler]:
        """One life, that remembers what it did."""
        clock = clock or Clock()
        cluster = fused(Cluster(self.cluster._server), fuse)  # noqa: SLF001 - one session for all
        admin = fused(_again(self.admin), fuse)
        records = fused(Registry(admin, self.platform.settings.topics), fuse)
        await records.open()
        backend = self._backend(cluster, admin, clock)
        others = await cluster.list(AFFILIATE)
        try:
            yield Reconciler(
                cluster,
                Ownership(records, backend),
                Deletion(cluster, records, backend, self.platform),
                self.platform,
                rivals=lambda _: others,
                clock=clock,
            )
        finally:
            await records.close()


def _again(admin: Admin) -> Admin:
    """One without the fuses of the last life."""
    for name in _STEPS[Admin]:
        admin.__dict__.pop(name, None)
    return admin


@asynccontextmanager
async def looking_on(
    home: Path, plane: Plane, kafka: Kafka, /, **more: Any
) -> AsyncIterator[LookingOn]:
    os.environ["KUBECONFIG"] = str(plane.kubeconfig)
    configuration = load(settings(home, kafka, **more), {})
    admin = Admin(configuration.access)
    cluster = await Cluster.reached()
    try:
        yield LookingOn(cluster, admin, configuration.platform)
    finally:
        await admin.close()
        await cluster.close()


async def made(looking: LookingOn, plane: Plane, name: str, fuse: Fuse, **spec: Any) -> None:
    """An affiliate with the pipeline `out`, declared, and looked at until the fuse blows."""
    namespace = {"name": f"trackmate-{name}", "labels": {"trackmate.io/affiliate": name}}
    plane.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": namespace},
        affiliate(name, id=f"af-{name}", **spec),
        pipeline("out", f"trackmate-{name}"),
    )
    await looking.look(name, fuse)


async def deaths(live: Callable[[str, Fuse], Awaitable[None]], name: str) -> AsyncIterator[str]:
    """
    Lives that end behind the first step, the second and so on, each of another affiliate, whose
    name it gives; until one comes to its end alive.
    """
    for steps in count():
        one = f"{name}-{steps:02}"
        try:
            await live(one, Fuse(steps))
        except Died:
            yield one
        else:
            return
