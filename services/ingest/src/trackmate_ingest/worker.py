"""
A worker: one process that takes requests, with an event loop and a producer of its own.

It is started by `workers.py` with two sockets, the listening one that all workers share and its end
of a `Channel`; what it works with it is told there, secrets included, and it reads no file. When
the program that started it is gone, it drains by itself.
"""

import asyncio
import contextlib
import logging
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator

import uvloop

from trackmate_ingest.app import Ingest
from trackmate_ingest.channel import Ask, Channel, Close, Drain, Figures, InForce, Quiet
from trackmate_ingest.intake import Directory, Intake
from trackmate_ingest.kafka_log import ANSWERED_S, KafkaLog
from trackmate_ingest.keys import is_loopback
from trackmate_ingest.metrics import Metrics
from trackmate_ingest.server import Server
from trackmate_ingest.standing import Standing
from trackmate_programs.logs import set_up

_UNHEARD_S = 60.0  # of the program, which asks every second

_log = logging.getLogger("trackmate.ingest")


class Worker(Standing):
    """What the program tells it is done here."""

    def __init__(self, first: InForce, channel: Channel) -> None:
        self._in_force = first
        self._channel = channel
        self._heard = time.monotonic()
        settings = first.configuration.settings
        self.log = KafkaLog(settings.affiliate, first.configuration.access.client)
        self._metrics = Metrics()
        self.ingest = Ingest(self._directory(), self._metrics, self)
        self.log.fault = first.fault
        self.server = _Server(
            self.ingest,
            self._metrics,
            drain_seconds=settings.drain_s,
            quiet=lambda: channel.send(Quiet()),
        )

    def dead(self) -> str:
        if not self.log.alive:
            return "the thread that hears Kafka's acknowledgements has ended"
        if time.monotonic() - self._heard > _UNHEARD_S:
            return "the program that keeps its workers going does not turn"
        return ""

    def fault(self) -> str:
        return self.log.fault

    def note(self) -> str:
        return self._in_force.note

    async def follow(self) -> None:
        """Do as told, until the program is gone; then drain."""
        try:
            await self._follow()
        except Exception:  # noqa: BLE001 - another takes over, who may do better
            _log.exception("the worker ends itself")
        self.server.door.set()
        self.server.should_exit = True

    async def _follow(self) -> None:
        while (message := await self._channel.receive()) is not None:
            self._heard = time.monotonic()
            match message:
                case Ask():
                    self._channel.send(Figures(self._metrics, self.log.figures(), self.dead()))
                case InForce():
                    self._take_over(message)
                case Drain(seconds):
                    self.server.drain(seconds)
                case Close():
                    self.server.door.set()

    def _take_over(self, message: InForce) -> None:
        before, self._in_force = self._in_force.configuration, message
        now = message.configuration
        if (now.access.client, now.access.certificates) != (
            before.access.client,
            before.access.certificates,
        ):
            self.log.renew(now.access.client)
        if (now.settings, now.keys) != (before.settings, before.keys):
            self.ingest.collector.directory = self._directory()
        self.log.fault = message.fault

    def _directory(self) -> Directory:
        found = self._in_force.configuration
        intake = Intake(
            found.settings.affiliate,
            found.settings.spec,
            keys=found.keys,
            log=self.log,
            now=time.monotonic(),
            share=1 / found.settings.workers,
        )
        return Directory([intake], loopback=is_loopback(found.settings.listen.host))


class _Server(Server):
    """
    Drains together with its siblings: who closes the door of the socket they share closes it for
    all. Signals are the program's, which a terminal or an init sends to each process at once.
    """

    def __init__(
        self, app: Ingest, metrics: Metrics, *, drain_seconds: float, quiet: Callable[[], None]
    ) -> None:
        super().__init__(app, metrics, drain_seconds=drain_seconds)
        self.config.timeout_graceful_shutdown = int(max(drain_seconds, ANSWERED_S)) + 1
        self.door = asyncio.Event()
        self._say_quiet = quiet

    def drain(self, seconds: float) -> None:
        self._drain_seconds = seconds
        self.should_exit = True

    async def _quiet(self) -> None:
        await super()._quiet()
        self._say_quiet()
        await self.door.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def work(end: socket.socket, listener: socket.socket) -> None:
    """Until told to end on the channel, or its other end is gone."""
    channel = await Channel.on(end)
    first = await channel.receive()
    if first is None:
        return
    worker = Worker(first, channel)
    following = asyncio.create_task(worker.follow())
    try:
        await worker.server.serve([listener])
    finally:
        await worker.log.close()
        channel.send(Figures(worker.ingest.metrics, worker.log.figures()))
        following.cancel()
        channel.close()


def main() -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    set_up()
    end, listener = (socket.socket(fileno=int(number)) for number in sys.argv[1:3])
    uvloop.run(work(end, listener))


if __name__ == "__main__":
    main()
