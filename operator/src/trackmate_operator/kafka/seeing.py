"""
Waiting until what was changed is seen: Kafka and Strimzi take it now, and show it later.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable


async def comes_to_hold(
    holds: Callable[[], Awaitable[bool]], *, within_s: float, every_s: float
) -> bool:
    """Whether it does in time."""
    deadline = time.monotonic() + within_s
    while not await holds():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(every_s)
    return True
