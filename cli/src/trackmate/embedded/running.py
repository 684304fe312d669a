"""
The pipelines of one affiliate at work: begun where their spec says, restarted where it changed.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from ipaddress import ip_network

from trackmate.backbone import STORE, Backbone, Group, Reads
from trackmate.embedded.control import EmbeddedControl
from trackmate.embedded.database import Database
from trackmate.embedded.store import EmbeddedStore
from trackmate_consume.assembly import Surroundings, pace_of, sink_of
from trackmate_consume.flow import Pace
from trackmate_consume.pipeline import Asked, Parts, Pipeline
from trackmate_consume.program import Program
from trackmate_consume.translate import StoreProgram
from trackmate_contract import pipeline as manifest
from trackmate_contract.quantity import epoch_ms
from trackmate_contract.specs import SecretKeyRef

_LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))

SCALED_TO_NONE = "spec.replicas is 0; raise it, and the pipeline goes on"


@dataclass(frozen=True)
class Declaration:
    """A pipeline as the folder declares it."""

    manifest: manifest.Pipeline
    secrets: Mapping[tuple[str, str], str] = field(repr=False)
    """The values that it names, by Secret and key."""

    def secret(self, ref: SecretKeyRef) -> str | None:
        return self.secrets.get((ref.name, ref.key))


@dataclass
class Running:
    """One pipeline at work."""

    group: Group
    declaration: Declaration | None
    """None for `store`, which nobody declares."""
    pipeline: Pipeline
    control: EmbeddedControl
    task: asyncio.Task[None]

    async def pause(self, reason: str) -> None:
        await self.control.pause(reason)
        self.pipeline.pause()

    async def resume(self) -> None:
        await self.control.resume()
        if not self.control.paused:
            self.pipeline.resume()

    async def stop(self) -> None:
        """Let what is being written end, and stop."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        self.group.close()


async def run_store(database: Database, backbone: Backbone) -> Running:
    """Start the built-in pipeline: all streams into the embedded store."""
    group = await backbone.group(Reads(STORE), "earliest")
    control = EmbeddedControl(database, STORE)
    parts = Parts(
        source=group.source,
        program=StoreProgram(),
        sink=lambda _: EmbeddedStore(database),
        letters=group.letters,
        replays=group.replays,
        control=control,
    )
    pipeline = Pipeline(STORE, parts, Pace())
    return Running(group, None, pipeline, control, _started(pipeline))


async def run_declared(
    affiliate: str, database: Database, backbone: Backbone, declaration: Declaration
) -> Running:
    """Start a pipeline of the folder, from where it was, or where its spec says it begins."""
    name, spec = declaration.manifest.name, declaration.manifest.spec
    group = await backbone.group(Reads(name, spec.stream), spec.start)
    control = EmbeddedControl(database, name)
    control.scaled_to_none = SCALED_TO_NONE if spec.replicas == 0 else ""
    if spec.replay is not None:
        await group.ask(_asked(spec.stream, spec.replay))
    around = Surroundings(declaration.secret, _LOOPBACK, affiliate, name, group.log_id)
    parts = Parts(
        source=group.source,
        program=Program(spec),
        sink=partial(sink_of, spec, around),
        letters=group.letters,
        replays=group.replays,
        control=control,
    )
    pipeline = Pipeline(name, parts, pace_of(spec))
    return Running(group, declaration, pipeline, control, _started(pipeline))


def _started(pipeline: Pipeline) -> asyncio.Task[None]:
    return asyncio.create_task(pipeline.run(), name=pipeline.name)


def _asked(stream: str, replay: manifest.Replay) -> Asked:
    since_ms = epoch_ms(replay.since) if replay.since else 0
    return Asked(replay.id, None if replay.only == "DeadLetters" else stream, since_ms)


class Pipelines:
    """Every pipeline of one affiliate, by name; `store` is always there."""

    def __init__(self, affiliate: str, database: Database, backbone: Backbone) -> None:
        self._affiliate = affiliate
        self._database = database
        self._backbone = backbone
        self.running: dict[str, Running] = {}

    async def start(self) -> None:
        self.running[STORE] = await run_store(self._database, self._backbone)

    async def restart_store(self) -> None:
        """The affiliate has other streams."""
        await self.running.pop(STORE).stop()
        await self.start()

    async def follow(self, declared: Mapping[str, Declaration]) -> None:
        """Start what is new, restart what changed, stop what is gone; its books stay."""
        for name, running in list(self.running.items()):
            if name != STORE and declared.get(name) != running.declaration:
                del self.running[name]
                await running.stop()
        for name, declaration in declared.items():
            if name not in self.running:
                self.running[name] = await run_declared(
                    self._affiliate, self._database, self._backbone, declaration
                )

    @property
    def declared(self) -> dict[str, Declaration]:
        """What runs of the folder's."""
        return {
            name: running.declaration
            for name, running in self.running.items()
            if running.declaration is not None
        }

    @property
    def groups(self) -> list[Group]:
        return [running.group for running in list(self.running.values())]

    async def close(self) -> None:
        for running in self.running.values():
            running.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*(r.task for r in self.running.values()), return_exceptions=True)
        for running in self.running.values():
            running.group.close()
