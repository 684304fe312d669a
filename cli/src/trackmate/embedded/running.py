"""
The pipelines of one affiliate at work: begun where their spec says, restarted where it changed.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from ipaddress import ip_network

from trackmate.embedded import log
from trackmate.embedded.books import STORE, Begin, Reads, begin
from trackmate.embedded.control import EmbeddedControl
from trackmate.embedded.database import Database
from trackmate.embedded.letters import EmbeddedLetters
from trackmate.embedded.replays import Asked, EmbeddedReplays
from trackmate.embedded.source import EmbeddedSource
from trackmate.embedded.store import EmbeddedStore
from trackmate_consume.assembly import Surroundings, pace_of, sink_of
from trackmate_consume.expressions.host import Unstarted
from trackmate_consume.flow import Pace
from trackmate_consume.pipeline import Parts, Pipeline
from trackmate_consume.program import Misspelt, Program
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


async def misspelt(pipeline: manifest.Pipeline) -> Misspelt | None:
    """
    What is wrong with its expressions, if anything is; where no process can look now, the pipeline
    says so when it runs, and tries again.
    """
    program = Program(pipeline.spec)
    try:
        await program.compile()
    except Misspelt as fault:
        return fault
    except Unstarted:
        return None
    finally:
        await program.close()
    return None


@dataclass
class Running:
    """One pipeline at work."""

    reads: Reads
    declaration: Declaration | None
    """None for `store`, which nobody declares."""
    pipeline: Pipeline
    control: EmbeddedControl
    replays: EmbeddedReplays
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


def run_store(database: Database) -> Running:
    """Start the built-in pipeline: all streams into the embedded store."""
    reads = Reads(STORE)
    control, replays = EmbeddedControl(database, STORE), EmbeddedReplays(database, STORE)
    parts = Parts(
        source=partial(EmbeddedSource, database, reads),
        program=StoreProgram(),
        sink=lambda _: EmbeddedStore(database),
        letters=EmbeddedLetters(database, STORE),
        replays=replays,
        control=control,
    )
    pipeline = Pipeline(STORE, parts, Pace())
    return Running(reads, None, pipeline, control, replays, _started(pipeline))


async def run_declared(affiliate: str, database: Database, declaration: Declaration) -> Running:
    """Start a pipeline of the folder, from where it was, or where its spec says it begins."""
    name, spec = declaration.manifest.name, declaration.manifest.spec
    reads = Reads(name, spec.stream)
    await database.submit(begin, Begin(reads, spec.start))
    control, replays = EmbeddedControl(database, name), EmbeddedReplays(database, name)
    control.scaled_to_none = SCALED_TO_NONE if spec.replicas == 0 else ""
    if spec.replay is not None:
        await replays.ask(_asked(name, spec))
    with contextlib.closing(database.reader()) as reader:
        log_id = log.identity(reader)
    around = Surroundings(declaration.secret, _LOOPBACK, affiliate, name, log_id)
    parts = Parts(
        source=partial(EmbeddedSource, database, reads),
        program=Program(spec),
        sink=partial(sink_of, spec, around),
        letters=EmbeddedLetters(database, name),
        replays=replays,
        control=control,
    )
    pipeline = Pipeline(name, parts, pace_of(spec))
    return Running(reads, declaration, pipeline, control, replays, _started(pipeline))


def _started(pipeline: Pipeline) -> asyncio.Task[None]:
    return asyncio.create_task(pipeline.run(), name=pipeline.name)


def _asked(name: str, spec: manifest.PipelineSpec) -> Asked:
    replay = spec.replay
    assert replay is not None  # noqa: S101 - its one caller looked
    since_ms = epoch_ms(replay.since) if replay.since else 0
    stream = None if replay.only == "DeadLetters" else spec.stream
    return Asked(name, replay.id, stream, since_ms)


class Pipelines:
    """Every pipeline of one affiliate, by name; `store` is always there."""

    def __init__(self, affiliate: str, database: Database) -> None:
        self._affiliate = affiliate
        self._database = database
        self.running: dict[str, Running] = {}

    def start(self) -> None:
        self.running[STORE] = run_store(self._database)

    async def follow(self, declared: Mapping[str, Declaration]) -> None:
        """Start what is new, restart what changed, stop what is gone; its books stay."""
        for name, running in list(self.running.items()):
            if name != STORE and declared.get(name) != running.declaration:
                del self.running[name]
                await running.stop()
        for name, declaration in declared.items():
            if name not in self.running:
                running = await run_declared(self._affiliate, self._database, declaration)
                self.running[name] = running

    @property
    def declared(self) -> dict[str, Declaration]:
        """What runs of the folder's."""
        return {
            name: running.declaration
            for name, running in self.running.items()
            if running.declaration is not None
        }

    @property
    def reads(self) -> list[Reads]:
        return [running.reads for running in list(self.running.values())]

    async def close(self) -> None:
        for running in self.running.values():
            running.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*(r.task for r in self.running.values()), return_exceptions=True)
