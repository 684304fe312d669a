"""
So many requests a second, evenly spread.
"""

import asyncio
import time

_LATE_S = 0.01  # that a timer or a busy loop may be, and still be made up for


class Rate:
    """Turns at even distances, handed out in the order of asking."""

    def __init__(self, per_second: int | None) -> None:
        """None is no limit."""
        self._apart_s = 1 / per_second if per_second else 0.0
        self._next_at = 0.0

    def turn(self, now: float) -> float:
        """
        Take the next turn; return how far it is, in seconds.

        >>> rate = Rate(2)
        >>> [round(rate.turn(now), 3) for now in (10.0, 10.0, 10.0, 12.0)]
        [0.0, 0.49, 0.99, 0.0]
        """
        turn = max(self._next_at, now - _LATE_S)
        self._next_at = turn + self._apart_s
        return max(0.0, turn - now)

    async def wait(self) -> None:
        """Return when the next turn has come."""
        if self._apart_s and (wait_s := self.turn(time.monotonic())):
            await asyncio.sleep(wait_s)
