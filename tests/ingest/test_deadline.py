"""
The deadline of all who wait for Kafka: each has its own time, and one timer serves them.
"""

import asyncio
from collections.abc import Callable

import pytest
import uvloop

from trackmate_ingest.deadline import Deadline

SECONDS = 9.0


class Clock:
    """Time and timers of a loop, moved by hand."""

    def __init__(self, loop: asyncio.AbstractEventLoop, patch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.timers: list[tuple[float, Callable[[], None]]] = []
        patch.setattr(loop, "time", lambda: self.now)
        patch.setattr(loop, "call_at", lambda when, call: self.timers.append((when, call)))

    async def until(self, moment: float) -> None:
        """Let the timers ring that are due by then, and who was told take note."""
        self.now = moment
        due = [call for when, call in self.timers if when <= moment]
        self.timers = [timer for timer in self.timers if timer[0] > moment]
        for call in due:
            call()
        await _turn()


async def _turn() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def _waiting(deadline: Deadline) -> tuple[asyncio.Future[None], asyncio.Task[None]]:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(deadline.wait(future))
    await _turn()
    return future, task


def test_each_has_its_whole_time_and_is_told_when_it_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        clock = Clock(asyncio.get_running_loop(), monkeypatch)
        deadline = Deadline(SECONDS)
        _, early = await _waiting(deadline)
        await clock.until(104.0)
        _, late = await _waiting(deadline)
        await clock.until(109.0)
        assert isinstance(early.exception(), TimeoutError)
        assert not late.done()
        await clock.until(113.0)
        assert isinstance(late.exception(), TimeoutError)
        _, another = await _waiting(deadline)
        await clock.until(122.0)
        assert isinstance(another.exception(), TimeoutError)

    asyncio.run(scenario())


def test_any_number_that_wait_share_one_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        clock = Clock(asyncio.get_running_loop(), monkeypatch)
        deadline = Deadline(SECONDS)
        for _ in range(100):
            future, task = await _waiting(deadline)
            assert len(clock.timers) == 1
            future.set_result(None)
            await task
        await clock.until(109.0)
        assert not clock.timers, "nobody waits, and nothing rings"

    asyncio.run(scenario())


def test_a_real_loop_tells_who_waits_too_long() -> None:
    async def scenario() -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with pytest.raises(TimeoutError):
            await Deadline(0.01).wait(future)

    uvloop.run(scenario())


def test_who_is_cancelled_is_not_kept() -> None:
    async def scenario() -> None:
        deadline = Deadline(SECONDS)
        _, task = await _waiting(deadline)
        task.cancel()
        await _turn()
        assert task.cancelled()
        assert not deadline._since  # noqa: SLF001 - what would grow without a bound

    asyncio.run(scenario())
