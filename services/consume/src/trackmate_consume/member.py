"""
The process of `trackmate-consume`: a pipeline's member of its consumer group, that follows its
files, says how it is, and ends well on SIGTERM.
"""

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Hashable, Iterable, Iterator, Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from trackmate_consume.configuration import Configuration, load, stamp
from trackmate_consume.health import Answer, Progress, now, serving
from trackmate_consume.pipeline_metrics import Part, Shown, families
from trackmate_consume.running import Running, lives_on
from trackmate_consume.sink import Down
from trackmate_contract.faults import Faulty
from trackmate_programs.command import CannotStart

_LOOK_S = 2.0  # between two looks at the files, and at the progress
_LETTERS_S = 60.0  # between two looks at the dead letters

_log = logging.getLogger("trackmate.consume")


class Member(Collector):
    """The process around a running pipeline."""

    def __init__(
        self, path: Path, environment: Mapping[str, str], configuration: Configuration
    ) -> None:
        self._path = path
        self._environment = environment
        self._configuration = configuration
        self._running = Running(configuration)
        self._progress = Progress(moved_at=now(), turned_at=now())
        self._said = ""
        self._seen: Hashable = None
        self._letters: int | None = None

    async def run(self) -> int:
        """Until SIGTERM. Raises CannotStart."""
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        try:
            with self._served():
                letters = asyncio.create_task(self._count_letters())
                await self._until(stopping)
                letters.cancel()
        finally:
            await self._running.stop()
        _log.info("ended", extra={"fields": self._labels})
        return 0

    @property
    def _labels(self) -> dict[str, object]:
        settings = self._configuration.settings
        return {"affiliate": settings.affiliate, "pipeline": settings.pipeline}

    @contextlib.contextmanager
    def _served(self) -> Iterator[None]:
        at = self._configuration.settings.metrics
        registry = CollectorRegistry()
        registry.register(self)
        with contextlib.ExitStack() as opened:
            try:
                port = opened.enter_context(
                    serving(at.host, at.port, registry, healthy=self._healthy, ready=self._ready)
                )
            except OSError as error:
                raise CannotStart(
                    f"metrics: {at.host}:{at.port} cannot be used ({error.strerror}); name another "
                    "port, or end the program that has it"
                ) from None
            _log.info("runs", extra={"fields": {**self._labels, "metrics": port}})
            yield

    async def _until(self, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await stopping.wait()
            await self._read_again()
            settled, waits = self._running.pipeline.settled, self._running.waits
            self._progress.note(settled=settled, waits=waits, now=now())

    async def _read_again(self) -> None:
        seen = stamp(self._path, self._configuration)
        if seen == self._seen:
            return
        self._seen = seen
        try:
            wanted = await asyncio.to_thread(load, self._path, self._environment)
        except Faulty as faulty:
            self._say_once("; ".join(map(str, faulty.faults)))
            return
        self._said = ""
        before = self._configuration
        if wanted == before:
            return
        self._configuration = wanted
        if lives_on(before, wanted):
            await self._running.follow(wanted)
        else:
            await self._running.stop()
            self._running = Running(wanted)
        _log.info("taken over", extra={"fields": self._labels})

    def _say_once(self, detail: str) -> None:
        if detail != self._said:
            self._said = detail
            what = "the files are faulty, and what was in force stays"
            _log.error(what, extra={"fields": {"detail": detail}})

    async def _count_letters(self) -> None:
        """By the member that reads the first partition: the letters are all members' together."""
        while True:
            first = (self._running.reading.streams[0], 0)
            mine = first in self._running.standing.figures.positions
            self._letters = await asyncio.to_thread(self._waiting) if mine else None
            await asyncio.sleep(_LETTERS_S if mine else _LOOK_S)

    def _waiting(self) -> int | None:
        try:
            with self._running.standing.box.read() as box:
                return len(box.waiting)
        except Down:  # who commits says so
            return self._letters

    # asked on the thread that serves

    def _healthy(self) -> Answer:
        fault = self._progress.fault(now())
        return not fault, fault

    def _ready(self) -> Answer:
        condition = self._running.pipeline.condition
        return condition.ready, condition.message and f"{condition.reason}: {condition.message}"

    def describe(self) -> Iterable[Metric]:
        return []  # nothing is collected before anybody asks

    def collect(self) -> Iterable[Metric]:
        settings, running = self._configuration.settings, self._running
        figures = running.standing.figures
        parts = [
            Part(stream, partition, one.counts, figures.ends[stream, partition] - one.next)
            for (stream, partition), one in figures.positions.items()
        ]
        lag_s = (
            0.0 if figures.oldest_ms is None else max(0.0, time.time() - figures.oldest_ms / 1e3)
        )
        ready = running.pipeline.condition.ready
        shown = Shown(
            settings.affiliate, settings.pipeline, parts, lag_s, self._letters, ready=ready
        )
        return families([shown])
