"""
The queue: a key is looked at once at a time, never forgotten, and later and later while it fails.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import pytest

from trackmate_operator.queue import Queue

Look = Callable[[str], Awaitable[float | None]]


async def working(queue: Queue, look: Look, until: asyncio.Event) -> None:
    """Work until the event is there."""
    work = asyncio.create_task(queue.run(look))
    async with asyncio.timeout(10):
        await until.wait()
    work.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await work


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long is waited: each time as long as could be."""
    found: list[float] = []

    def longest(_: float, high: float) -> float:
        found.append(high)
        return high

    monkeypatch.setattr("random.uniform", longest)
    return found


def test_what_happens_while_a_key_is_looked_at_is_looked_at_after() -> None:
    async def scenario() -> list[str]:
        queue, done, seen = Queue(), asyncio.Event(), list[str]()
        at_once = 0

        async def look(key: str) -> None:
            nonlocal at_once
            at_once += 1
            assert at_once == 1, "one look at a key at a time"
            seen.append(key)
            if len(seen) == 1:
                queue.add(key)
                queue.add(key)
                await asyncio.sleep(0)
            else:
                done.set()
            at_once -= 1

        queue.add("a")
        queue.add("a")
        await working(queue, look, done)
        return seen

    assert asyncio.run(scenario()) == ["a", "a"]


def test_a_key_that_fails_holds_up_no_other_and_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("trackmate_operator.queue._FIRST_S", 0.001)

    async def scenario() -> tuple[int, list[str]]:
        queue, done, others = Queue(at_once=1), asyncio.Event(), list[str]()
        failed = 0

        async def look(key: str) -> None:
            nonlocal failed
            if key != "bad":
                others.append(key)
                return
            failed += 1
            if failed == 3:
                done.set()
            raise RuntimeError

        for key in ("bad", "a", "b"):
            queue.add(key)
        await working(queue, look, done)
        return failed, others

    assert asyncio.run(scenario()) == (3, ["a", "b"])


def test_the_wait_doubles_with_every_failure_and_ends_with_the_first_success(
    monkeypatch: pytest.MonkeyPatch, waits: list[float]
) -> None:
    async def scenario() -> None:
        queue, done = Queue(), asyncio.Event()
        looks = 0

        async def look(key: str) -> None:
            nonlocal looks
            looks += 1
            if looks == 13:
                done.set()
                await asyncio.Event().wait()
            if looks != 11:
                raise RuntimeError
            queue.add(key)

        def now(key: str, seconds: float) -> None:
            queue.add(key)

        monkeypatch.setattr(queue, "add_later", now)
        queue.add("a")
        await working(queue, look, done)

    asyncio.run(scenario())
    assert waits[:10] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]
    assert waits[10] == 1


def test_a_look_that_does_not_end_is_seen() -> None:
    async def scenario() -> tuple[str, str]:
        now = 0.0
        queue, begun = Queue(elapsed_s=lambda: now), asyncio.Event()

        async def look(_: str) -> None:
            begun.set()
            await asyncio.Event().wait()

        queue.add("a")
        work = asyncio.create_task(queue.run(look))
        await begun.wait()
        early = queue.stuck()
        now = 301.0
        late = queue.stuck()
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        return early, late

    assert asyncio.run(scenario()) == ("", "the look at 'a' has not ended for 301 s")


def test_an_event_comes_before_the_time_that_was_set() -> None:
    async def scenario() -> int:
        queue, done, looks = Queue(), asyncio.Event(), 0

        async def look(key: str) -> float:
            nonlocal looks
            looks += 1
            if looks == 1:
                asyncio.get_running_loop().call_soon(queue.add, key)
            else:
                done.set()
            return 3600

        queue.add("a")
        await working(queue, look, done)
        return looks

    assert asyncio.run(scenario()) == 2


def test_what_failed_long_ago_is_forgiven_and_looked_at_soon(waits: list[float]) -> None:
    async def scenario() -> list[str]:
        queue, done, seen = Queue(), asyncio.Event(), list[str]()

        async def look(key: str) -> None:
            seen.append(key)
            if key == "well":
                return
            if seen.count("bad") > 1:
                done.set()
            asyncio.get_running_loop().call_soon(queue.forgive, 0)
            raise RuntimeError

        queue.add("well")
        queue.add("bad")
        await working(queue, look, done)
        return seen

    assert asyncio.run(scenario()) == ["well", "bad", "bad"]
    assert waits[:3] == [1, 0, 1], "and from then on it has failed once"
