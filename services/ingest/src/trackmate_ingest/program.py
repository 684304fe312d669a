"""
The program around the workers: it binds the ports, follows the files, looks at the topics, serves
the metrics of all, and ends them on SIGTERM.

Ready is who may promise what 200 says: until the topics have once been found to keep the promise,
nothing is taken. What is found later is said and counted, and events are taken on. A pod that
left its Service because of a topic would take the other pods with it, as they all have that topic;
and who lowers min.insync.replicas at night to get through an outage wants events to be taken.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector as MetricSource
from watchfiles import awatch

from trackmate_contract.faults import Faulty
from trackmate_ingest.channel import InForce
from trackmate_ingest.configuration import Configuration, files, load
from trackmate_ingest.kafka_asking import ask
from trackmate_ingest.kafka_topics import Unanswered
from trackmate_ingest.workers import Workers

_FIRST_LOOK_S, _LONGEST_LOOK_S = 1.0, 30.0  # between looks at topics that are not right yet
_LATER_LOOK_S = 300.0
_READ_AGAIN_MS = 5_000  # for mounts that tell of no change
_SCRAPE_S = 5.0
_BACKLOG = 4096
_ENDED_AT_ONCE = 1
_NOT_YET = "Kafka has not been asked about the topics yet."

_log = logging.getLogger("trackmate.ingest")


class CannotStart(Exception):  # noqa: N818 - what happened
    """Said to who started it."""


async def run(path: Path, environment: Mapping[str, str], configuration: Configuration) -> int:
    """Run until SIGTERM or SIGINT; returns the exit code. Raises CannotStart."""
    listen = configuration.settings.listen
    with _bound(listen.host, listen.port) as listener:
        program = _Program(path, environment, configuration, listener)
        return await program.run(listener)


class _Program:
    def __init__(
        self,
        path: Path,
        environment: Mapping[str, str],
        configuration: Configuration,
        listener: socket.socket,
    ) -> None:
        self._path = path
        self._environment = environment
        self._configuration = configuration
        self._fault, self._note = _NOT_YET, ""
        self._found: list[str] = []
        """What is wrong with the topics now."""
        self._look_now = asyncio.Event()
        self._said = ""
        self._stopping = asyncio.Event()
        self._workers = Workers(configuration.settings.workers, listener, self._in_force())

    async def run(self, listener: socket.socket) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        settings = self._configuration.settings
        async with self._metrics() as metrics_port:
            fields = {
                "affiliate": settings.affiliate,
                "port": listener.getsockname()[1],
                "metrics_port": metrics_port,
                "workers": settings.workers,
                "keys": len(self._configuration.keys),
            }
            _log.info("started", extra={"fields": fields})
            self._workers.start()
            async with asyncio.TaskGroup() as tasks:
                following = tasks.create_task(self._follow())
                looking = tasks.create_task(self._look())
                await self._stopping.wait()
                _log.info("draining", extra={"fields": {"seconds": settings.drain_s}})
                looking.cancel()
                following.cancel()
            well = await self._workers.drain(self._configuration.settings.drain_s)
        _log.info("ended", extra={"fields": {"well": well}})
        return 0 if well else 1

    def _stop(self) -> None:
        if self._stopping.is_set():
            _log.error("asked to stop twice: ended at once")
            self._workers.kill()
            os._exit(_ENDED_AT_ONCE)
        self._stopping.set()

    def _in_force(self) -> InForce:
        return InForce(self._configuration, self._fault, self._note)

    # the topics

    async def _look(self) -> None:
        pause = _FIRST_LOOK_S
        while True:
            self._look_now.clear()
            try:
                await self._look_once()
            except Exception:  # noqa: BLE001 - the next look may be better
                _log.exception("the topics could not be looked at")
            pause = _LATER_LOOK_S if not self._fault else min(2 * pause, _LONGEST_LOOK_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._look_now.wait()
                pause = _FIRST_LOOK_S

    async def _look_once(self) -> None:
        access = self._configuration.access
        try:
            found = await ask(access.kafka, access.client, self._configuration.asked)
        except Unanswered as fault:
            if not self._fault:  # an outage: requests are answered, with 503
                return
            found = [str(fault)]
        before = (self._fault, self._note)
        self._found = found
        said = " ".join(found)
        if self._fault:
            self._fault = said
        self._note = said or (_RELAXED if access.kafka.relaxed else "")
        if (self._fault, self._note) == before:
            return
        for sentence in found:
            _log.error("topics", extra={"fields": {"fault": sentence, "ready": not self._fault}})
        if before[0] and not self._fault:
            _log.info("ready", extra={"fields": {"note": self._note}})
        self._workers.tell(self._in_force())

    # the files

    async def _follow(self) -> None:
        """Take over what changes, at once where the change is told, else a little later."""
        while True:
            try:
                await self._watch(self._folders())
            except Exception:  # noqa: BLE001 - the next change must be seen, whatever this one did
                _log.exception("the files could not be followed; they are read again all the same")
            await asyncio.sleep(_READ_AGAIN_MS / 1000)
            await self._read_again()

    async def _watch(self, folders: set[Path]) -> None:
        """Until the files are in other folders. Raises where the system lets nobody watch."""
        watching = awatch(
            *folders,
            watch_filter=None,
            recursive=False,
            debounce=400,
            step=50,
            rust_timeout=_READ_AGAIN_MS,
            yield_on_timeout=True,
            stop_event=self._stopping,
        )
        async for _ in watching:
            await self._read_again()
            if folders != self._folders():
                return

    def _folders(self) -> set[Path]:
        named = (self._path, *files(self._configuration))
        return {path.parent for path in named if path.parent.is_dir()}

    async def _read_again(self) -> None:
        try:
            wanted = await asyncio.to_thread(load, self._path, self._environment)
        except Faulty as faulty:
            self._say_once("the files are faulty, and what was in force stays", faulty.faults)
            return
        wanted = self._as_far_as_it_changes_live(wanted)
        before = self._configuration
        if wanted.access != before.access:
            try:
                await ask(wanted.access.kafka, wanted.access.client, wanted.asked)
            except Unanswered as fault:
                what = "the new way to Kafka leads nowhere, and the old one stays in force"
                self._say_once(what, [str(fault)])
                wanted = replace(wanted, access=before.access)
            else:
                self._said = ""
        else:
            self._said = ""
        if wanted == before:
            return
        self._configuration = wanted
        self._workers.tell(self._in_force())
        self._look_now.set()
        changed = [
            name
            for name in ("settings", "keys", "access")
            if getattr(wanted, name) != getattr(before, name)
        ]
        fields = {"changed": ", ".join(changed), "keys": len(wanted.keys)}
        _log.info("taken over", extra={"fields": fields})

    def _as_far_as_it_changes_live(self, wanted: Configuration) -> Configuration:
        now = self._configuration.settings
        kept = {name: getattr(now, name) for name in ("affiliate", "listen", "metrics", "workers")}
        asked = {name: getattr(wanted.settings, name) for name in kept}
        if asked != kept:
            names = [name for name in kept if asked[name] != kept[name]]
            self._say_once("taken over at the next start only", names)
        return replace(wanted, settings=wanted.settings.model_copy(update=kept))

    def _say_once(self, what: str, details: Iterable[object]) -> None:
        detail = "; ".join(map(str, details))
        if self._said != what + detail:
            self._said = what + detail
            _log.error(what, extra={"fields": {"detail": detail}})

    # the metrics

    @asynccontextmanager
    async def _metrics(self) -> AsyncIterator[int]:
        at = self._configuration.settings.metrics
        registry = CollectorRegistry()
        registry.register(_Sum(self, asyncio.get_running_loop()))
        try:
            server, thread = start_http_server(at.port, at.host, registry)
        except (OSError, OverflowError) as error:
            raise CannotStart(_no_port("metrics", at.host, at.port, error)) from None
        try:
            yield server.server_port
        finally:
            await asyncio.to_thread(server.shutdown)
            server.server_close()
            await asyncio.to_thread(thread.join)

    async def collected(self) -> list[Metric]:
        metrics, kafka = await self._workers.figures()
        return [*metrics.collect(), *kafka.collect(), *self._own()]

    def _own(self) -> Iterable[Metric]:
        yield GaugeMetricFamily(
            "trackmate_ingest_workers", "Workers that serve", value=self._workers.serving
        )
        yield CounterMetricFamily(
            "trackmate_ingest_workers_replaced",
            "Workers that ended and were replaced",
            value=self._workers.replaced,
        )
        yield GaugeMetricFamily(
            "trackmate_ingest_topic_faults",
            "What keeps the topics from keeping what 200 promises",
            value=len(self._found),
        )


_RELAXED = "relaxed: what is stored may be on one broker alone"


class _Sum(MetricSource):
    """The metrics of all workers and of the program, for the thread that serves them."""

    def __init__(self, program: _Program, loop: asyncio.AbstractEventLoop) -> None:
        self._program = program
        self._loop = loop

    def describe(self) -> Iterable[Metric]:
        return []  # nothing is collected before anybody asks

    def collect(self) -> Iterable[Metric]:
        asked = asyncio.run_coroutine_threadsafe(self._program.collected(), self._loop)
        return asked.result(_SCRAPE_S)


@contextlib.contextmanager
def _bound(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    both = host == "::" and socket.has_dualstack_ipv6()
    try:
        listener = socket.create_server(
            (host, port), family=family, backlog=_BACKLOG, dualstack_ipv6=both
        )
    except (OSError, OverflowError) as error:
        raise CannotStart(_no_port("listen", host, port, error)) from None
    with listener:
        yield listener


def _no_port(setting: str, host: str, port: int, error: Exception) -> str:
    why = os.strerror(error.errno or 0) if isinstance(error, OSError) else str(error)
    return (
        f"{setting}: {host}:{port} cannot be used ({why}); name another address or port, or end "
        "the program that has it"
    )
