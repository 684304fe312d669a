"""
Whom to look at next: each key once, one pass a key at a time, and again after a while where a pass
failed.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

_FIRST_S = 1.0
_LONGEST_S = 300.0
_STUCK_S = 300.0  # many times what a look takes whose every request runs out of time
_DOUBLINGS = 20  # enough; without a bound the number outgrows a float

Pass = Callable[[str], Awaitable[float | None]]
"""Looks at one key; gives the seconds after which to look again though nothing happens. None: not
before something does. Raises where it failed."""


class Queue:
    """Keys that something happened to."""

    def __init__(
        self, *, at_once: int = 8, elapsed_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._at_once = at_once
        self._elapsed_s = elapsed_s
        self._ready: asyncio.Queue[str] = asyncio.Queue()
        self._waiting: set[str] = set()
        """In the queue already."""
        self._running: dict[str, float] = {}
        """Since when."""
        self._again: set[str] = set()
        """Something happened to it while it was looked at."""
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._failed: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def stuck(self) -> str:
        """Which look does not come to its end; "" where all do."""
        now = self._elapsed_s()
        for key, since in self._running.items():
            if now - since > _STUCK_S:
                return f"the look at {key!r} has not ended for {now - since:.0f} s"
        return ""

    def add(self, key: str) -> None:
        """Look at it soon."""
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
        if key in self._running:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting.add(key)
            self._ready.put_nowait(key)

    def add_later(self, key: str, seconds: float) -> None:
        """Look at it then, unless something happens before."""
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
        self._timers[key] = asyncio.get_running_loop().call_later(seconds, self.add, key)

    def forgive(self, within_s: float) -> None:
        """
        Look at all that failed as if it never had, each at some moment of this time: what was in
        the way is there no more.
        """
        for key in [*self._failed]:
            del self._failed[key]
            self.add_later(key, random.uniform(0, within_s))  # noqa: S311 - spreads the looks

    async def run(self, look: Pass) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._at_once):
                group.create_task(self._work(look))

    async def _work(self, look: Pass) -> None:
        while True:
            key = await self._ready.get()
            self._waiting.discard(key)
            self._running[key] = self._elapsed_s()
            try:
                after = await look(key)
                self._failed.pop(key, None)
            except Exception:  # noqa: BLE001 - `look` has said what; the others go on
                after = self._after_failure(key)
            finally:
                del self._running[key]
            if key in self._again:
                self._again.discard(key)
                self.add(key)
            elif after is not None:
                self.add_later(key, after)

    def _after_failure(self, key: str) -> float:
        """Twice as long each time, with jitter: what failed together is not tried together."""
        failed = self._failed[key] = self._failed.get(key, 0) + 1
        longest = min(_FIRST_S * 2 ** min(failed - 1, _DOUBLINGS), _LONGEST_S)
        return random.uniform(longest / 2, longest)  # noqa: S311 - spreads the tries
