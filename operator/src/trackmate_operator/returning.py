"""
Whether Kafka answers, asked as long as this process works. Nobody tells when it is back, and what
failed for long without it would wait on for minutes.
"""

import asyncio
from collections.abc import Callable

from trackmate_operator.backend import Backend, Down
from trackmate_operator.registration import REGISTRY

_EVERY_S = 5.0


async def follow(backend: Backend, returned: Callable[[], None]) -> None:
    """For ever; calls when Kafka answers again."""
    answers = True
    while True:
        await asyncio.sleep(_EVERY_S)
        before, answers = answers, await _answers(backend)
        if answers and not before:
            returned()


async def _answers(backend: Backend) -> bool:
    try:
        await backend.topic_ids([REGISTRY])
    except Down:
        return False
    return True
