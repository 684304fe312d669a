"""
The parent's side of the child process: it is started on first need, kept between batches, and
started anew when an event killed it. That event alone is answered with the limit it broke.
"""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import islice

from trackmate_consume.expressions.messages import (
    Answer,
    Batch,
    Compiled,
    Event,
    Job,
    answers_decoder,
    compiled_decoder,
    frame,
)

_BATCH_BYTES = 1 << 20
_BATCH_EVENTS = 500
_PATIENCE = 5  # times `Limits.silence_s` for an event that is tried alone
_STARTS = 3
_LIMITS = {signal.SIGPROF, signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS}


class Unstarted(RuntimeError):  # noqa: N818 - what the child is
    """The child does not start: no fault of an expression or an event."""


class _Died(Exception):  # noqa: N818 - what happened
    """`number` is the signal that ended it; None where it hung."""

    def __init__(self, number: int | None) -> None:
        super().__init__(number)
        self.number = number


class Host:
    """
    One child and what it runs. Safe to cancel, and for several tasks at once: they take turns.

    A child that dies in a batch is started again, and the rest is tried once more, answered event
    by event: what it then dies on is put aside. So an event is never put aside for what only
    happened beside it.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._child: _Child | None = None
        self._turn = asyncio.Lock()

    @property
    def pid(self) -> int | None:
        """Of the child; None where none runs."""
        return self._child.process.pid if self._child else None

    async def compiled(self) -> list[Compiled]:
        """How each expression of the job was compiled. Raises Unstarted."""
        async with self._turn:
            return (await self._started()).compiled

    async def answers(self, events: Sequence[Event]) -> list[Answer]:
        """What became of each event, in order. Raises Unstarted."""
        async with self._turn:
            try:
                return await self._all(events)
            except BaseException:  # cancelled, too: a child in the middle of a batch is of no use
                await self._end()
                raise

    async def close(self) -> None:
        """End the child; what is being answered fails."""
        await self._end()

    async def _all(self, events: Sequence[Event]) -> list[Answer]:
        answers: list[Answer] = []
        careful = False
        suspect = -1
        while len(answers) < len(events):
            before = len(answers)
            batch = Batch(list(_some(events, before)), careful)
            child = await self._started()
            try:
                async for found in child.ask(batch):
                    answers += found
                careful = False
            except _Died as death:
                await self._end()
                at = len(answers)
                if careful and (death.number in _LIMITS or at == suspect):
                    answers.append(self._blamed(death, child))
                    careful = False
                else:
                    suspect = at if careful else -1
                    careful = True
        return answers

    def _blamed(self, death: _Died, child: "_Child") -> Answer:
        filtering = self._job.filter is not None and not child.passed
        reason = "filter_limit" if filtering else "transform_limit"
        return Answer(reason=reason, detail=self._words(death))

    def _words(self, death: _Died) -> str:
        limits = self._job.limits
        match death.number:
            case None:
                return f"it took more than {limits.silence_s * _PATIENCE:g} s"
            case signal.SIGPROF:
                return f"it took more than {limits.cpu_s * 1000:g} ms of CPU time"
            case signal.SIGABRT:
                return f"it took more than {limits.memory >> 20} MiB of memory"
            case signal.SIGSEGV | signal.SIGBUS:
                return "it called itself too deep"
            case other:
                return f"its process ended twice for no reason of its own ({_how(other)})"

    async def _started(self) -> "_Child":
        for _ in range(_STARTS):
            if self._child is None:
                self._child = await _Child.start(self._job)
            if self._child.faulty or self._child.process.returncode is None:
                return self._child
            await self._end()
        raise Unstarted("the process for filter and transform ends as soon as it starts")

    async def _end(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            await child.end()


class _Child:
    """One process, once started."""

    def __init__(self, process: asyncio.subprocess.Process, job: Job) -> None:
        self.process = process
        self.compiled: list[Compiled] = []
        self.passed = False
        """Whether the event that is worked on has passed the filter; known of careful batches."""
        self._limits = job.limits

    @property
    def faulty(self) -> bool:
        """Whether an expression cannot run: then there is nothing to ask."""
        return any(compiled.fault for compiled in self.compiled)

    @classmethod
    async def start(cls, job: Job) -> "_Child":
        """Raises Unstarted."""
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-I",
                "-m",
                "trackmate_consume.expressions.child",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env={},
                start_new_session=True,
            )
        except OSError as fault:
            raise Unstarted(
                f"no process for filter and transform can be started: {fault}"
            ) from None
        child = cls(process, job)
        try:
            await child._prepare(job)
        except BaseException:
            await child.end()
            raise
        return child

    async def _prepare(self, job: Job) -> None:
        try:
            self._send(frame(job))
            await self._receive(self._limits.start_s)
        except _Died as death:
            said = "says nothing" if death.number is None else f"ended ({_how(death.number)})"
            raise Unstarted(f"the process for filter and transform {said}") from None
        try:
            for text in (job.filter, job.transform):
                if text:
                    content = await self._receive(self._limits.start_s)
                    self.compiled.append(compiled_decoder.decode(content))
        except _Died as death:
            self.compiled.append(Compiled(fault=self._bomb(death)))

    def _bomb(self, death: _Died) -> str:
        if death.number == signal.SIGPROF:
            return f"it takes more than {self._limits.compile_cpu_s:g} s of CPU time to compile"
        if death.number in _LIMITS:
            return f"it takes more than {self._limits.memory >> 20} MiB of memory to compile"
        said = "says nothing" if death.number is None else f"ended ({_how(death.number)})"
        raise Unstarted(f"the process for filter and transform {said}")

    async def ask(self, batch: Batch) -> AsyncIterator[list[Answer]]:
        """Raises _Died."""
        self._send(frame(batch))
        missing = len(batch.events)
        self.passed = False
        silence_s = self._limits.silence_s * (_PATIENCE if batch.careful else 1)
        while missing:
            found = answers_decoder.decode(await self._receive(silence_s))
            self.passed = not found
            missing -= len(found)
            yield found

    def _send(self, content: bytes) -> None:
        """What is sent is at most a batch, and a dead child is noticed when it should answer."""
        assert self.process.stdin is not None  # noqa: S101 - it is a pipe
        self.process.stdin.write(content)

    async def _receive(self, silence_s: float) -> bytes:
        assert self.process.stdout is not None  # noqa: S101 - it is a pipe
        try:
            async with asyncio.timeout(silence_s):
                head = await self.process.stdout.readexactly(4)
                return await self.process.stdout.readexactly(int.from_bytes(head, "little"))
        except TimeoutError:
            raise _Died(None) from None
        except (asyncio.IncompleteReadError, ConnectionError):
            raise _Died(-await self.process.wait()) from None

    async def end(self) -> None:
        """Kill it, and leave neither a zombie nor a pipe."""
        if self.process.returncode is None:
            self.process.kill()
        if self.process.stdin is not None:
            self.process.stdin.close()
        await self.process.wait()


def _how(number: int) -> str:
    """From how a process ended, as `_Died` has it; one that exits has the code as a negative."""
    return f"signal {number}" if number > 0 else f"exit code {-number}"


def _some(events: Sequence[Event], start: int) -> Iterator[Event]:
    """The next events, no more than should be on the way at once."""
    size = 0
    for event in islice(events, start, start + _BATCH_EVENTS):
        yield event
        size += len(event[0])
        if size > _BATCH_BYTES:
            return
