"""
One pipeline at work: its sink opened, its flow kept going, its replays, and whether it is paused.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from trackmate_consume.backoff import backoff_s
from trackmate_consume.flow import Ends, Flow, Pace, Program
from trackmate_consume.letters import DeadLetters
from trackmate_consume.sink import Down, Sink, Unfit
from trackmate_consume.source import Ended, Source

_LONGEST_WAIT_S = 30.0  # until a sink that could not be opened is tried again
_DRAIN_S = 5.0

_log = logging.getLogger("trackmate.consume")


class Condition(NamedTuple):
    """Whether a pipeline works, as Kubernetes says it."""

    ready: bool
    reason: str
    """One word for programs."""
    message: str
    """A sentence for people; "" when all is well."""


class Control(Protocol):
    """What survives a restart of a pipeline's being paused."""

    @property
    def paused(self) -> str:
        """Why it is paused, in words; "" when it is not."""

    async def pause(self, reason: str) -> None:
        """Keep that it is paused. Raises Down."""


class Asked(NamedTuple):
    """A replay as somebody asked for it."""

    id: str
    stream: str | None
    """What is read again; None for dead letters."""
    since_ms: int = 0
    """From when on events were received."""
    chosen: Sequence[int] | None = None
    """The numbers of the dead letters; None for all."""


class Replay(NamedTuple):
    """Events to be sent again, and where they are put aside if refused again."""

    id: str
    source: Source
    letters: DeadLetters


class Replays(Protocol):
    """The replays that were asked for."""

    async def next(self) -> Replay:
        """Wait for the next that is not done. One that a crash cut short comes again."""

    async def end(self, replay: Replay) -> None:
        """Remember that it is done: its id never runs again. Raises Down."""


@dataclass(frozen=True)
class Parts:
    """What a pipeline is made of."""

    source: Callable[[], Source]
    """Opened anew after a fault of ours: it begins where was last committed."""
    program: "ClosingProgram"
    sink: Callable[[str | None], Sink]
    """For the replay of this id; for None, for events as they come."""
    letters: DeadLetters
    replays: Replays
    control: Control


class ClosingProgram(Program, Protocol):
    """A program that holds something, as child processes."""

    async def close(self) -> None:
        """Let go of it."""


class Pipeline:
    """Runs until cancelled, whatever its ends do."""

    def __init__(self, name: str, parts: Parts, pace: Pace) -> None:
        self.name = name
        self._parts = parts
        self._pace = pace
        self._opening: Exception | None = None
        self._source_fault: Exception | None = None
        self._flows: list[Flow] = []
        self._settled_before = 0

    @property
    def condition(self) -> Condition:
        """What to tell those who ask how it is."""
        paused = self._parts.control.paused
        if paused:
            return Condition(ready=False, reason="Paused", message=paused)
        if isinstance(self._opening, Unfit):
            words = f"{self._opening.path}: {self._opening}"
            return Condition(ready=False, reason="SinkUnfit", message=words)
        error = self.last_error
        if error and error == self._source_words:
            return Condition(ready=False, reason="SourceDown", message=error)
        if error:
            down = self._opening or any(flow.outage for flow in self._flows)
            reason = "SinkDown" if down else "EventsRefused"
            return Condition(ready=False, reason=reason, message=error)
        if not self._flows:
            return Condition(ready=False, reason="Starting", message="the sink is being opened")
        return Condition(ready=True, reason="Running", message="")

    @property
    def last_error(self) -> str:
        """The fault that holds it up now, in words; "" when none does."""
        if self._opening is not None:
            return str(self._opening) or type(self._opening).__name__
        said = [self._source_words, *(flow.last_error for flow in self._flows)]
        return next(filter(None, said), "")

    @property
    def _source_words(self) -> str:
        """Why the last source ended; "" since another one reads."""
        if self._source_fault is None or any(flow.reads for flow in self._flows):
            return ""
        return str(self._source_fault)

    @property
    def settled(self) -> int:
        """How many events were settled since the process began."""
        return self._settled_before + sum(flow.settled for flow in self._flows)

    def pause(self) -> None:
        """Stop reading and writing; `Control` has the reason."""
        for flow in self._flows:
            flow.going.clear()

    def resume(self) -> None:
        for flow in self._flows:
            flow.resume()

    async def run(self) -> None:
        """Run until cancelled; then what is being written may end and is committed."""
        try:
            async with asyncio.TaskGroup() as both:  # waits for both also when it is cancelled
                both.create_task(self._flow_on())
                both.create_task(self._replay_on())
        finally:
            await self._parts.program.close()

    async def _flow_on(self) -> None:
        """A fault of ours ends the flow; it begins again from what was committed."""
        tries = 0
        while True:
            try:
                await self._flow(None, self._parts.source(), self._parts.letters)
            except Ended as fault:
                self._note_ended(fault)
            except Exception as fault:  # noqa: BLE001 - a fault of ours must not end it
                self._opening = fault
                _log.exception("failed", extra={"fields": {"pipeline": self.name}})
            tries += 1
            await asyncio.sleep(backoff_s(tries, longest_s=_LONGEST_WAIT_S))

    def _note_ended(self, fault: Ended) -> None:
        if str(fault) != str(self._source_fault):
            words = {"pipeline": self.name, "error": str(fault)}
            _log.warning("reads anew", extra={"fields": words})
        self._source_fault = fault

    async def _replay_on(self) -> None:
        while True:
            try:
                replay = await self._parts.replays.next()
                await self._flow(replay.id, replay.source, replay.letters)
                await self._parts.replays.end(replay)
            except Exception:  # noqa: BLE001 - a fault of ours must not end it
                _log.exception("replay failed", extra={"fields": {"pipeline": self.name}})
                await asyncio.sleep(_LONGEST_WAIT_S)

    async def _flow(self, replay: str | None, source: Source, letters: DeadLetters) -> None:
        try:
            async with self._opened(replay) as sink:
                ends = Ends(source, self._parts.program, sink, letters)
                flow = Flow(self.name, ends, self._pace, self._pause)
                if not self._parts.control.paused:
                    flow.going.set()
                await self._kept_going(flow)
        finally:
            await source.close()

    async def _kept_going(self, flow: Flow) -> None:
        self._flows.append(flow)
        try:
            await self._drained(flow)
        finally:
            self._flows.remove(flow)
            self._settled_before += flow.settled

    async def _drained(self, flow: Flow) -> None:
        """Run the flow; when cancelled, let what is being written end first."""
        running = asyncio.create_task(flow.run())
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            await flow.drain(at_most_s=_DRAIN_S)
            raise
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    @asynccontextmanager
    async def _opened(self, replay: str | None) -> AsyncIterator[Sink]:
        sink = self._parts.sink(replay)
        tries = 0
        try:
            while not await self._try_to_open(sink):
                tries += 1
                await asyncio.sleep(backoff_s(tries, longest_s=_LONGEST_WAIT_S))
            yield sink
        finally:
            await sink.close()

    async def _try_to_open(self, sink: Sink) -> bool:
        try:
            await sink.open()
        except Exception as fault:  # noqa: BLE001 - no fault of a sink may end the pipeline
            if str(fault) != str(self._opening):
                words = {"pipeline": self.name, "error": str(fault)}
                expected = isinstance(fault, Unfit | Down)
                _log.warning("waits", extra={"fields": words}, exc_info=None if expected else fault)
            self._opening = fault
            return False
        self._opening = None
        return True

    async def _pause(self, reason: str) -> None:
        self.pause()  # nothing more goes on while that is being kept
        await self._parts.control.pause(reason)
