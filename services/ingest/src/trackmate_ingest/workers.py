"""
The worker processes: started, told what is in force, watched, summed up, drained.

They share one listening socket, and so its queue: what waits there when a worker dies is accepted
by another. With a socket each (SO_REUSEPORT) the kernel would reset it. Connections spread as
evenly either way; measured in docs/ingest.md. Each is a fresh program and no fork: a producer has
threads. One alone runs in the program's own process.
"""

import asyncio
import logging
import os
import socket
import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Protocol

from trackmate_ingest.channel import Ask, Channel, Close, Drain, Figures, InForce, Quiet
from trackmate_ingest.kafka_figures import KafkaFigures
from trackmate_ingest.metrics import Metrics

_ASKED_EVERY_S = 1.0
_SILENT = 30  # times asked in a row, in which the program turned and the worker did not
_FRESH_S = 1.0  # that figures are waited for
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0  # before a worker that died is replaced
_STEADY_S = 10.0  # having lived so long, a worker did not die of how it was started
_LAST_ANSWERS_S = 25.0  # that workers may take after they were told to close

_log = logging.getLogger("trackmate.ingest")


class _Process(Protocol):
    """What runs a worker: a process of its own, or this one."""

    pid: int

    @property
    def returncode(self) -> int | None:
        """None until it ended."""

    async def wait(self) -> int:
        """Wait for its end."""

    def kill(self) -> None:
        """End it at once."""


class _Here:
    """
    A worker in this process: one alone needs no other, which would take as much memory again. If
    this loop does not turn, Kubernetes sees it as the program itself would see it of another.
    """

    def __init__(self, run: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self.pid = os.getpid()
        self._task = asyncio.create_task(run())

    @property
    def returncode(self) -> int | None:
        if not self._task.done():
            return None
        return 1 if self._task.cancelled() or self._task.exception() else 0

    async def wait(self) -> int:
        await asyncio.wait([self._task])
        return self.returncode or 0

    def kill(self) -> None:
        self._task.cancel()


@dataclass(eq=False)
class _Worker:
    process: _Process
    channel: Channel
    figures: Figures = field(default_factory=Figures)
    unanswered: int = 0
    told: asyncio.Event = field(default_factory=asyncio.Event)
    """Set with each message from it."""
    quiet: asyncio.Event = field(default_factory=asyncio.Event)


class Workers:
    """As many as were asked for, each replaced when it ends."""

    def __init__(self, number: int, listener: socket.socket, first: InForce) -> None:
        self._number = number
        self._listener = listener
        self._in_force = first
        self._running: list[_Worker] = []
        self._keeping: list[asyncio.Task[None]] = []
        self._draining = False
        self._gone = Figures(Metrics(), KafkaFigures(first.configuration.settings.affiliate))
        self.replaced = 0

    @property
    def serving(self) -> int:
        """How many run and have answered."""
        return sum(worker.figures.kafka is not None for worker in self._running)

    @property
    def pids(self) -> list[int]:
        return [worker.process.pid for worker in self._running]

    def start(self) -> None:
        self._keeping = [
            *(asyncio.create_task(self._keep_one()) for _ in range(self._number)),
            asyncio.create_task(self._ask_on()),
        ]

    def tell(self, in_force: InForce) -> None:
        """Go on with this; who is started later begins with it."""
        self._in_force = in_force
        for worker in self._running:
            worker.channel.send(in_force)

    async def figures(self) -> tuple[Metrics, KafkaFigures]:
        """What all of them counted, those that ended included."""
        for worker in self._running:
            worker.told.clear()
            worker.channel.send(Ask())
        waits = [asyncio.create_task(worker.told.wait()) for worker in self._running]
        if waits:
            _, late = await asyncio.wait(waits, timeout=_FRESH_S)
            for one in late:  # what it told last is the best that is known
                one.cancel()
        metrics, kafka = Metrics(), KafkaFigures(self._in_force.configuration.settings.affiliate)
        for found in (self._gone, *(worker.figures for worker in self._running)):
            metrics.add(found.metrics)
            if found.kafka is not None:
                kafka.add(found.kafka)
        return metrics, kafka

    async def drain(self, seconds: float) -> bool:
        """Let them take requests until all are quiet, then end. Returns whether all ended well."""
        self._draining = True
        workers = list(self._running)
        for worker in workers:
            worker.channel.send(Drain(seconds))
        ends = [asyncio.create_task(worker.process.wait()) for worker in workers]
        quiet = [asyncio.create_task(worker.quiet.wait()) for worker in workers]
        if workers:
            await asyncio.wait(quiet, timeout=seconds)
            for worker in workers:
                worker.channel.send(Close())
            await asyncio.wait(ends, timeout=_LAST_ANSWERS_S)
        well = all(worker.process.returncode == 0 for worker in workers)
        self.kill()
        for task in (*self._keeping, *quiet):
            task.cancel()
        await asyncio.gather(*self._keeping, *quiet, *ends, return_exceptions=True)
        return well

    def kill(self) -> None:
        for worker in self._running:
            if worker.process.returncode is None:
                worker.process.kill()

    async def _keep_one(self) -> None:
        pause = _FIRST_PAUSE_S
        while not self._draining:
            began = time.monotonic()
            try:
                worker = await self._started()
            except OSError as why:  # no memory, processes or files are left: there may be soon
                _log.error("worker not started", extra={"fields": {"error": str(why)}})
            else:
                code = await self._ended(worker)
                if self._draining:
                    return
                self.replaced += 1
                fields = {"pid": worker.process.pid, "code": code}
                _log.error("worker ended, another takes its place", extra={"fields": fields})
            steady = time.monotonic() - began > _STEADY_S
            pause = _FIRST_PAUSE_S if steady else min(pause * 2, _LONGEST_PAUSE_S)
            await asyncio.sleep(pause)

    async def _ended(self, worker: _Worker) -> int:
        """Listen to it until it ends; return its exit code."""
        listening = asyncio.create_task(self._listen_to(worker))
        code = await worker.process.wait()
        await listening  # all that it said is there
        worker.quiet.set()  # for a drain that waits
        self._running.remove(worker)
        worker.channel.close()
        self._count_as_gone(worker.figures)
        return code

    async def _started(self) -> _Worker:
        """Raises OSError."""
        ours, its = socket.socketpair()
        try:
            process = self._here(its) if self._number == 1 else await self._apart(its)
        except OSError:
            ours.close()
            raise
        worker = _Worker(process, await Channel.on(ours))
        self._running.append(worker)
        worker.channel.send(self._in_force)
        return worker

    async def _apart(self, its: socket.socket) -> _Process:
        with its:
            fds = (its.fileno(), self._listener.fileno())
            return await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "trackmate_ingest.worker", *map(str, fds)),
                pass_fds=fds,
            )

    def _here(self, its: socket.socket) -> _Process:
        from trackmate_ingest.worker import work  # noqa: PLC0415 - who has several does without

        return _Here(lambda: work(its, self._listener.dup()))

    async def _listen_to(self, worker: _Worker) -> None:
        while (message := await worker.channel.receive()) is not None:
            worker.unanswered = 0
            self._heard(worker, message)

    def _heard(self, worker: _Worker, message: Any) -> None:
        match message:
            case Figures():
                worker.figures = message
                worker.told.set()
                if message.dead:
                    self._give_up(worker, message.dead)
            case Quiet():
                worker.quiet.set()

    async def _ask_on(self) -> None:
        """Notice workers that run and do not turn. One stopped with us is not to blame."""
        while True:
            await asyncio.sleep(_ASKED_EVERY_S)
            for worker in self._running:
                worker.unanswered += 1
                worker.channel.send(Ask())
                if worker.unanswered > _SILENT:
                    self._give_up(worker, f"it does not answer for {_SILENT} s")

    def _give_up(self, worker: _Worker, why: str) -> None:
        if worker.process.returncode is None and not self._draining:
            fields = {"pid": worker.process.pid, "why": why}
            _log.error("worker killed", extra={"fields": fields})
            worker.process.kill()

    def _count_as_gone(self, figures: Figures) -> None:
        self._gone.metrics.add(figures.metrics)
        self._gone.metrics.draining = False
        if figures.kafka is not None and self._gone.kafka is not None:
            self._gone.kafka.add(figures.kafka, gone=True)
