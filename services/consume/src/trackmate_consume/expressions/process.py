"""
The parent's side of the child process: started on first need, one batch at a time, and started anew
when an event was the end of it.
"""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from trackmate_consume.expressions.frames import LENGTH, Answer, Job, Task, frame

_READ_AHEAD = 1 << 20  # bytes
_CHILD = "trackmate_consume.expressions.child"


@dataclass(frozen=True)
class Limits:
    """What the expressions of one pipeline may take."""

    cpu_s: float = 0.1
    """Processor time for an event: waiting for a busy machine does not count."""
    compile_cpu_s: float = 2.0
    memory_bytes: int = 128 << 20
    """Of the child, beyond what it takes when it starts."""
    wall_s: float = 10.0
    """For an answer; then the child is ended and the event tried once more."""


class Misspelt(ValueError):  # noqa: N818 - what the expression is
    """
    An expression that cannot run. `path` is its field, as in `spec.filter`; the message begins
    with line and column where they are known.
    """

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message)
        self.path = path


class _End(NamedTuple):
    """How a child ended before it answered."""

    words: str
    by_event: bool
    """Whether a limit did it, so that the same event would do it again."""


class _Ended(Exception):  # noqa: N818 - what the child has
    pass


class Child:
    """A filter and a transform in a process of their own; either may be None."""

    def __init__(self, filter_: str | None, jq: str | None, limits: Limits) -> None:
        self._limits = limits
        self._job = Job(filter_, jq, limits.cpu_s, limits.compile_cpu_s, limits.memory_bytes)
        self._process: asyncio.subprocess.Process | None = None
        self._lock = asyncio.Lock()
        self._decode = msgspec.msgpack.Decoder(Answer).decode

    @property
    def pid(self) -> int | None:
        """None while no process runs."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Compile, unless that is done. Raises Misspelt."""
        async with self._lock:
            await self._started()

    async def ask(self, tasks: Sequence[Task]) -> list[Answer]:
        """One answer an event, in order: `made`, `filtered` or `dead`. Raises Misspelt."""
        answers: list[Answer] = []
        tried = -1  # the event that a child ended on for no fault of its own
        async with self._lock:
            while len(answers) < len(tasks):
                process = await self._started()
                passed = await self._take(process, tasks, answers)
                if passed is None:
                    break
                end = await self._buried()
                if not end.by_event and tried != len(answers):
                    tried = len(answers)
                    continue
                where = "transform" if passed or self._job.filter is None else "filter"
                answers.append(Answer("dead", f"{where}_limit", f"the {where} {end.words}"))
        return answers

    async def close(self) -> None:
        """End the process, if there is one, whatever it does."""
        await self._buried()

    async def _take(
        self, process: asyncio.subprocess.Process, tasks: Sequence[Task], answers: list[Answer]
    ) -> bool | None:
        """
        Take answers until there are enough: None. Where the child ended first, whether the filter
        had passed the event that it was at.
        """
        passed = False
        try:
            assert process.stdin is not None  # noqa: S101 - a pipe was asked for
            process.stdin.write(b"".join([frame(task) for task in tasks[len(answers) :]]))
            while len(answers) < len(tasks):
                answer = await self._answer(process, self._limits.wall_s)
                passed = answer.kind == "passed"
                if not passed:
                    answers.append(answer)
        except _Ended:
            return passed
        except BaseException:  # cancelled: what it would answer is nobody's
            await self._buried()
            raise
        return None

    async def _started(self) -> asyncio.subprocess.Process:
        if self._process is not None:
            return self._process
        for last in (False, True):
            process = self._process = await _spawned()
            try:
                assert process.stdin is not None  # noqa: S101 - a pipe was asked for
                process.stdin.write(frame(self._job))
                answer = await self._answer(process, self._limits.wall_s + 30)
            except _Ended:
                end = await self._buried()
                if end.by_event or last:
                    path = "spec.filter" if self._job.jq is None else "spec.transform.jq"
                    raise Misspelt(path, f"compiling it {end.words}; write it smaller") from None
                continue
            except BaseException:
                await self._buried()
                raise
            if answer.kind == "misspelt":
                await self._buried()
                raise Misspelt(answer.reason, answer.detail)
            break
        return process

    async def _answer(self, process: asyncio.subprocess.Process, at_most_s: float) -> Answer:
        assert process.stdout is not None  # noqa: S101 - a pipe was asked for
        try:
            async with asyncio.timeout(at_most_s):
                head = await process.stdout.readexactly(LENGTH.size)
                return self._decode(await process.stdout.readexactly(*LENGTH.unpack(head)))
        except (asyncio.IncompleteReadError, TimeoutError, ConnectionError):
            raise _Ended from None

    async def _buried(self) -> _End:
        """End the process, wait for it, and say how it ended."""
        process, self._process = self._process, None
        if process is None:
            return _End("was ended", by_event=False)
        if process.stdout is not None and process.stdout.at_eof():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._limits.wall_s):
                    await process.wait()
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        if process.stdin is not None:
            process.stdin.close()
        return self._end(await asyncio.shield(process.wait()))

    def _end(self, code: int) -> _End:
        if code == -signal.SIGPROF:
            spent = f"took more than {self._limits.cpu_s * 1000:g} ms of processor time"
            return _End(spent, by_event=True)
        if code in {-signal.SIGABRT, -signal.SIGSEGV, -signal.SIGBUS, 1}:
            most = self._limits.memory_bytes >> 20
            return _End(f"took more than {most} MiB of memory, or nested too deep", by_event=True)
        return _End("was ended from outside, twice", by_event=False)


async def _spawned() -> asyncio.subprocess.Process:
    """With an empty environment and a session of its own; it ends when its input ends."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        "-m",
        _CHILD,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={},
        cwd="/",
        start_new_session=True,
        limit=_READ_AHEAD,
    )
