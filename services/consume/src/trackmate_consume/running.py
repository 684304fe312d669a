"""
A pipeline of one configuration at work on Kafka, and what of it can change while it runs.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

from trackmate_consume.assembly import Surroundings, cluster_of, pace_of, sink_of, store_of
from trackmate_consume.configuration import Configuration
from trackmate_consume.flow import Pace
from trackmate_consume.kafka_groups import Groups
from trackmate_consume.kafka_positions import Pause, mark, pause_of
from trackmate_consume.kafka_reading import Reading
from trackmate_consume.kafka_standing import KafkaStanding
from trackmate_consume.pipeline import Asked, Parts, Pipeline
from trackmate_consume.program import Program
from trackmate_consume.sink import Down, Sink
from trackmate_consume.source import Ended
from trackmate_consume.translate import StoreProgram
from trackmate_contract.names import topic
from trackmate_contract.quantity import epoch_ms

_FORGET_S = 5.0

_log = logging.getLogger("trackmate.consume")


class Switch:
    """
    Whether the pipeline is paused. Keeps trackmate_consume.pipeline.Control.

    `keep` writes a pause where the next process finds it.
    """

    def __init__(
        self, configuration: Configuration, keep: Callable[[Pause], Awaitable[None]]
    ) -> None:
        self._asked = configuration.settings.paused
        self._resumed = configuration.settings.resumed
        self._keep = keep
        self._own = ""

    @property
    def paused(self) -> str:
        return self._asked or self._own

    async def pause(self, reason: str) -> None:
        """By itself, as in a storm; until the settings' `resumed` changes."""
        await self._keep(pause_of(reason, self._resumed))
        self._say(reason)

    def holds(self, pause: Pause) -> bool:
        """Take up a pause that was kept, unless it was resumed since. From any thread."""
        if pause.resumed != mark(self._resumed):
            return False
        if not self._own:
            self._say(pause.reason)
        return True

    def _say(self, reason: str) -> None:
        _log.error("paused", extra={"fields": {"reason": reason}})
        self._own = reason

    def follow(self, configuration: Configuration) -> bool:
        """Take over what the settings say now; return whether they resume it."""
        self._asked = configuration.settings.paused
        resumes = configuration.settings.resumed != self._resumed
        if resumes:
            self._resumed, self._own = configuration.settings.resumed, ""
        return resumes


class SettingsAsking:
    """The replay that the spec asks for. Keeps trackmate_consume.kafka_replays.Asking."""

    def __init__(self, configuration: Configuration) -> None:
        spec = configuration.settings.spec
        replay = None if spec is None else spec.replay
        self._asked: Asked | None = None
        if spec is not None and replay is not None:
            since_ms = epoch_ms(replay.since) if replay.since else 0
            stream = None if replay.only == "DeadLetters" else spec.stream
            self._asked = Asked(replay.id, stream, since_ms)

    async def next(self) -> Asked:
        if self._asked is None:
            await asyncio.Event().wait()  # until the settings change, and with them all of this
        assert self._asked is not None  # noqa: S101 - else it waits
        return self._asked

    async def end(self, asked: Asked) -> None:
        """Its group remembers that it ran."""
        self._asked = None


class Running:
    """A pipeline of one configuration at work."""

    def __init__(self, configuration: Configuration) -> None:
        self._access = configuration.access
        settings = configuration.settings
        self._loop = asyncio.get_running_loop()
        self._groups = Groups(settings.affiliate, lambda: self._access.client)
        start = "earliest" if settings.spec is None else settings.spec.start
        self.reading = Reading(settings.affiliate, settings.pipeline, configuration.streams, start)
        self.standing = KafkaStanding(
            self.reading,
            lambda: self._access.client,
            self._groups,
            SettingsAsking(configuration),
            self._holds,
        )
        self.switch = Switch(configuration, self.standing.keep_pause)
        self._couchbase = cluster_of(settings.couchbase)
        self.pipeline = self._made(configuration)
        self._task = asyncio.create_task(self.pipeline.run())

    def _holds(self, pause: Pause) -> bool:
        """Asked on the thread that polls, before anything of the partition is handed out."""
        holds = self.switch.holds(pause)
        if holds:
            self._loop.call_soon_threadsafe(self.pipeline.pause)
        return holds

    def _made(self, configuration: Configuration) -> Pipeline:
        spec = configuration.settings.spec
        parts = Parts(
            source=self.standing.source,
            program=StoreProgram() if spec is None else Program(spec),
            sink=partial(self._sink, configuration),
            letters=self.standing.letters,
            replays=self.standing.replays,
            control=self.switch,
        )
        pace = Pace() if spec is None else pace_of(spec)
        return Pipeline(self.reading.pipeline, parts, pace)

    def _sink(self, configuration: Configuration, replay: str | None) -> Sink:
        spec = configuration.settings.spec
        if spec is None:
            return store_of(self._couchbase)
        log_id = "" if spec.sink.files is None else self._log_id()
        around = Surroundings(
            configuration.secret,
            configuration.networks,
            self.reading.affiliate,
            self.reading.pipeline,
            log_id,
            self._couchbase,
        )
        return sink_of(spec, around, replay)

    def _log_id(self) -> str:
        return self._groups.topic_id(topic(self.reading.affiliate, self.reading.streams[0]))

    @property
    def waits(self) -> bool:
        """Whether it has nothing to do, or knows why it does nothing."""
        figures = self.standing.figures
        idle = all(figures.ends[at] <= one.next for at, one in figures.positions.items())
        return idle or not self.pipeline.condition.ready

    async def follow(self, configuration: Configuration) -> None:
        """What can change while it runs: that it is paused, and its password."""
        was = self.switch.paused
        resumes = self.switch.follow(configuration)
        if self.switch.paused and not was:
            self.pipeline.pause()
        elif was and not self.switch.paused:
            self.pipeline.resume()
        if resumes:
            await self._forget_pause()
        if configuration.access != self._access:
            self._access = configuration.access
            if self._access.login is not None:
                await asyncio.to_thread(self.standing.renew, *self._access.login)

    async def _forget_pause(self) -> None:
        """It holds no more, whether this is written or not: `resumed` is another."""
        with suppress(Down, Ended, TimeoutError):
            async with asyncio.timeout(_FORGET_S):
                await self.standing.keep_pause(None)

    async def stop(self) -> None:
        """Let what is being written end, commit it, and leave the group."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        if self._couchbase is not None:
            await self._couchbase.close()
        await asyncio.to_thread(self.standing.close)
        await asyncio.to_thread(self._groups.close)


def lives_on(before: Configuration, after: Configuration) -> bool:
    """Whether the pipeline of the one can go on as that of the other."""
    changing = {"paused": "", "resumed": ""}
    same = before.settings.model_copy(update=changing) == after.settings.model_copy(update=changing)
    return (
        same
        and before.secrets == after.secrets
        and before.access.certificates == after.access.certificates
    )
