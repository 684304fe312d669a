"""
Waiting for the operator to take up what was written.
"""

import asyncio
from collections.abc import Awaitable, Callable

_TAKEN_UP_S = 15.0
_AGAIN_S = 0.2


async def taken_up(look: Callable[[], Awaitable[bool]]) -> bool:
    """Whether it was, within the time that an operator at work needs."""
    try:
        async with asyncio.timeout(_TAKEN_UP_S):
            while not await look():  # noqa: ASYNC110 - nobody tells; a watch would outlive the look
                await asyncio.sleep(_AGAIN_S)
    except TimeoutError:
        return False
    return True
