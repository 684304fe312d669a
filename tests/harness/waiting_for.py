"""
Waiting for what is to become true, instead of for a time.
"""

import time
from collections.abc import Callable

_EVERY_S = 0.05


def wait_until(condition: Callable[[], object], what: str, *, seconds: float = 20) -> None:
    """Return once the condition holds; fail with `what` it was when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(_EVERY_S)
