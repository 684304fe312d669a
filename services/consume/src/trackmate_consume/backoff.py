"""
How long to wait before the next try.
"""

import random

_FIRST_S = 0.1


def backoff_s(tries: int, *, longest_s: float) -> float:
    """
    Full jitter: anything up to a bound that doubles with every try, so that many who failed
    together do not come back together (Brooker, "Exponential Backoff and Jitter", 2015).

    >>> all(backoff_s(n, longest_s=30) <= 0.1 * 2**n for n in range(9))
    True
    """
    longest_s = min(longest_s, _FIRST_S * 2 ** min(tries, 30))
    return random.uniform(0, longest_s)  # noqa: S311 - spreads the tries
