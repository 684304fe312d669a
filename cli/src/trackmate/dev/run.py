"""
One process from start to end: take the data, bind the ports, follow the folder, serve, drain.
"""

import asyncio
import contextlib
import errno
import fcntl
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any
from wsgiref.simple_server import WSGIServer

import uvloop
from prometheus_client import CollectorRegistry, start_http_server
from watchfiles import awatch

from trackmate.backbone import Backbone
from trackmate.dev import console
from trackmate.dev.address import LOCK, Address
from trackmate.dev.instance import Changes, Instance
from trackmate.dev.pipeline_metrics import PipelineMetrics
from trackmate.embedded.affiliate import BackboneOf, on_its_file
from trackmate.embedded.database import Database
from trackmate.errors import CannotStart
from trackmate.folder import read_folder
from trackmate_contract.kafka import Kafka
from trackmate_ingest.metrics import Metrics
from trackmate_ingest.server import Server
from trackmate_programs.kafka_reach import unreached

_LOOPBACK = "127.0.0.1"
_LOOK_AGAIN_MS = 3000  # at what could not be carried

_log = logging.getLogger("trackmate.dev")

App = Callable[..., Awaitable[None]]


@dataclass(frozen=True)
class Options:
    """What `trackmate dev` was asked for."""

    folder: Path
    data: Path
    port: int
    metrics_port: int | None
    kafka: str | None = None
    """Where Kafka is, in the embedded log's place; None is the embedded log."""
    drain_seconds: float = 10.0


@dataclass(frozen=True)
class Reporter:
    """How the instance speaks to the person who started it."""

    started: Callable[[Address, Instance], None]
    changed: Callable[[Changes], None]


def run(options: Options, reporter: Reporter) -> None:
    """Run until SIGTERM or SIGINT. Raises CannotStart."""
    if not options.folder.is_dir():
        raise CannotStart(
            f"{str(options.folder)!r} is not a folder. Name one that holds YAML files."
        )
    if options.kafka is not None:
        _reach(options.kafka)
    with _locked(options.data), _bound(options.port) as listener:
        uvloop.run(_run(options, reporter, listener))


async def _run(options: Options, reporter: Reporter, listener: socket.socket) -> None:
    metrics = Metrics()
    registry = CollectorRegistry()
    registry.register(metrics)
    url = f"http://{_LOOPBACK}:{listener.getsockname()[1]}"
    beside = listener.getsockname()[1] + 1
    with _metrics(registry, options.metrics_port, beside=beside) as metrics_url:
        instance = Instance(options.data, metrics, _backbone_of(options.kafka))
        registry.register(PipelineMetrics(instance))
        changes = await instance.apply(await asyncio.to_thread(read_folder, options.folder))
        address = Address(url, metrics_url, str(options.data.resolve()), os.getpid())
        app = _Split(instance.ingest, console.create_console(instance, url))
        server = _Server(app, instance, options)
        with address.announced():
            reporter.changed(changes)
            reporter.started(address, instance)
            watching = asyncio.create_task(_follow(options.folder, instance, reporter))
            await server.serve([listener])
            watching.cancel()
        await instance.close()


def _reach(bootstrap: str) -> None:
    """Raises CannotStart with what keeps us from every one of the brokers."""
    try:
        kafka = Kafka.model_validate({"bootstrapServers": bootstrap})
    except ValueError:
        raise CannotStart(
            f"--kafka {bootstrap!r} is not a list of brokers; write host:port, with commas between."
        ) from None
    away = [fault.replace("kafka.bootstrapServers", "--kafka") for fault in unreached(kafka)]
    if away:
        raise CannotStart(" ".join(away))


def _backbone_of(kafka: str | None) -> BackboneOf:
    if kafka is None:
        return on_its_file
    return partial(_on_kafka, kafka)


def _on_kafka(bootstrap: str, affiliate: str, database: Database) -> Backbone:
    from trackmate.kafka.backbone import KafkaBackbone  # noqa: PLC0415 - who has none waits for none

    return KafkaBackbone(affiliate, database, bootstrap)


class _Server(Server):
    """Ends the live views when it starts to drain: they would never end by themselves."""

    def __init__(self, app: App, instance: Instance, options: Options) -> None:
        super().__init__(app, instance.metrics, drain_seconds=options.drain_seconds)
        self._instance = instance

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._instance.closing.set()
        await super().shutdown(sockets)


class _Split:
    """One port: the console has its own addresses, and ingest every other, as on a cluster."""

    def __init__(self, ingest: App, of_console: App) -> None:
        self._ingest = ingest
        self._console = of_console

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        app = self._console if console.has(scope["path"]) else self._ingest
        await app(scope, receive, send)


async def _follow(folder: Path, instance: Instance, reporter: Reporter) -> None:
    changing = awatch(
        folder, debounce=400, step=50, rust_timeout=_LOOK_AGAIN_MS, yield_on_timeout=True
    )
    async for changed in changing:
        if not changed and not instance.waits:
            continue
        try:
            read = partial(read_folder, folder, running=instance.files)
            changes = await instance.apply(await asyncio.to_thread(read))
        except Exception:  # noqa: BLE001 - the next change of the folder must be seen, whatever this one did
            _log.exception("the folder could not be followed")
            continue
        if changes:
            reporter.changed(changes)


@contextmanager
def _locked(data: Path) -> Iterator[None]:
    """Two processes on one data folder would give one offset to two events."""
    try:
        data.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotStart(f"--data {str(data)!r} cannot be used: {error.strerror}.") from None
    with (data / LOCK).open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise CannotStart(
                f"Another 'trackmate dev' (process {lock.read().strip() or 'unknown'}) uses the "
                f"data in {str(data)!r}. Stop it, or choose another folder with --data."
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


@contextmanager
def _bound(port: int) -> Iterator[socket.socket]:
    listener = socket.socket()
    with contextlib.closing(listener):
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((_LOOPBACK, port))
        except (OSError, OverflowError) as error:
            raise CannotStart(_port_words(error, port)) from None
        yield listener


@contextmanager
def _metrics(registry: CollectorRegistry, port: int | None, *, beside: int) -> Iterator[str]:
    """Serve the metrics: on the port asked for, else on the next one, else on any that is free."""
    ports = (beside, 0) if port is None else (port,)
    server, thread = _first_free(registry, ports)
    try:
        yield f"http://{_LOOPBACK}:{server.server_port}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _first_free(registry: CollectorRegistry, ports: tuple[int, ...]) -> tuple[WSGIServer, Thread]:
    for port in ports:
        try:
            return start_http_server(port, _LOOPBACK, registry)
        except (OSError, OverflowError) as error:
            last = error
    raise CannotStart(_port_words(last, ports[-1], option="--metrics-port"))


def _port_words(error: Exception, port: int, option: str = "--port") -> str:
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return f"Port {port} is taken by another program. Choose another one: {option} {port + 10}"
    return f"Port {port} cannot be used ({error}). Choose another one with {option}."
