"""
The time, as an argument of what needs it.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True)
class Clock:
    """The machine's."""

    def now_ms(self) -> int:
        """Since 1970."""
        return time.time_ns() // 1_000_000

    def now(self) -> str:
        """As RFC 3339 writes it, to the second."""
        return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"

    def elapsed_s(self) -> float:
        """Since some moment; never goes back."""
        return time.monotonic()
