"""
Rate limits: a bucket that fills at a steady rate and holds one second's worth. Pure: the clock is
an argument, monotonic seconds.
"""


class Bucket:
    """
    Lets `rate` units a second through, with bursts of one second.

    A body may be larger than what is left: it passes while a whole unit is left and leaves a debt,
    so that no body is too large for a small rate, and none is free. Where a request is the unit,
    there is nothing to owe.

    >>> bucket = Bucket(rate=2, now=0.0)
    >>> [bucket.wait(1, now=0.0), bucket.wait(1, now=0.0), bucket.wait(1, now=0.0)]
    [0.0, 0.0, 0.5]
    """

    __slots__ = ("_at", "_left", "_most", "_rate")

    def __init__(self, rate: float, now: float) -> None:
        self._rate = rate
        self._most = self._left = max(1.0, rate)  # else a rate below one would let nothing through
        self._at = now

    def wait(self, units: float, now: float) -> float:
        """Take the units and return 0, or return the seconds until asking again makes sense."""
        left = min(self._most, self._left + (now - self._at) * self._rate)
        self._at = now
        if left < 1:
            self._left = left
            return (1 - left) / self._rate
        self._left = left - units
        return 0.0
