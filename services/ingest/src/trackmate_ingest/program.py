"""
The program around the workers: it binds the ports, follows the files, looks at the topics, serves
the metrics of all, and ends them on SIGTERM. It takes no event.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector as MetricSource

from trackmate_ingest.configuration import Configuration
from trackmate_ingest.following import Following
from trackmate_ingest.looking import Looking
from trackmate_ingest.state import State
from trackmate_ingest.workers import Workers
from trackmate_programs.command import CannotStart

_SCRAPE_S = 5.0
_BACKLOG = 4096
_ENDED_AT_ONCE = 1

_log = logging.getLogger("trackmate.ingest")


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
        self._state = State(configuration)
        number = configuration.settings.workers
        self._workers = Workers(number, listener, self._state.in_force())
        self._looking = Looking(self._state, self._workers.tell)
        self._following = Following(path, environment, self._state, self._take_over)
        self._stopping = asyncio.Event()

    async def run(self, listener: socket.socket) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        async with self._metrics() as metrics_port:
            self._say_started(listener.getsockname()[1], metrics_port)
            self._workers.start()
            async with asyncio.TaskGroup() as tasks:
                beside = [
                    tasks.create_task(self._following.follow()),
                    tasks.create_task(self._looking.look_on()),
                ]
                await self._stopping.wait()
                for task in beside:
                    task.cancel()
            seconds = self._state.configuration.settings.drain_s
            _log.info("draining", extra={"fields": {"seconds": seconds}})
            well = await self._workers.drain(seconds)
        _log.info("ended", extra={"fields": {"well": well}})
        return 0 if well else 1

    def _say_started(self, port: int, metrics_port: int) -> None:
        configuration = self._state.configuration
        fields = {
            "affiliate": configuration.settings.affiliate,
            "port": port,
            "metrics_port": metrics_port,
            "workers": configuration.settings.workers,
            "keys": len(configuration.keys),
        }
        _log.info("started", extra={"fields": fields})

    def _stop(self) -> None:
        if self._stopping.is_set():
            _log.error("asked to stop twice: ended at once")
            self._workers.kill()
            os._exit(_ENDED_AT_ONCE)
        self._stopping.set()

    def _take_over(self) -> None:
        self._workers.tell(self._state.in_force())
        self._looking.look_now()

    @asynccontextmanager
    async def _metrics(self) -> AsyncIterator[int]:
        at = self._state.configuration.settings.metrics
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
            value=len(self._state.topic_faults),
        )


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
