"""
Where minutes, hours, days and months begin, for figures over time.
"""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from trackmate_contract.quantity import epoch_ms

MOST = 1500
"""Edges of one question: what is beyond is no chart."""

_MINUTE_MS, _HOUR_MS, _DAY_MS = 60_000, 3_600_000, 86_400_000
_MINUTES_UP_TO_MS, _HOURS_UP_TO_MS, _DAYS_UP_TO_MS = 6 * _HOUR_MS, 8 * _DAY_MS, 400 * _DAY_MS


class Every(StrEnum):
    """How far the edges are apart."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    MONTH = "month"


_SHORTEST_MS = {
    Every.MINUTE: _MINUTE_MS,
    Every.HOUR: _HOUR_MS,
    Every.DAY: 23 * _HOUR_MS,
    Every.MONTH: 27 * _DAY_MS,
}


class TooMany(ValueError):  # noqa: N818 - what is asked for
    """More edges than a chart can have."""


def fitting(since_ms: int, until_ms: int) -> Every:
    """
    What makes a readable chart of a time.

    >>> fitting(0, 3_600_000), fitting(0, 7 * 86_400_000), fitting(0, 30 * 86_400_000)
    (<Every.MINUTE: 'minute'>, <Every.HOUR: 'hour'>, <Every.DAY: 'day'>)
    >>> fitting(0, 1000 * 86_400_000)
    <Every.MONTH: 'month'>
    """
    for longest_ms, every in (
        (_MINUTES_UP_TO_MS, Every.MINUTE),
        (_HOURS_UP_TO_MS, Every.HOUR),
        (_DAYS_UP_TO_MS, Every.DAY),
    ):
        if until_ms - since_ms <= longest_ms:
            return every
    return Every.MONTH


def edges(since_ms: int, until_ms: int, every: Every, zone: ZoneInfo) -> list[int]:
    """
    The beginnings of what lies in the time, from the one at `since_ms` or before it to the first at
    `until_ms` or behind it. Days and months are those of the zone: on two days of the year, a day
    has not 24 hours. Raises TooMany.

    >>> [edge // 3_600_000 for edge in edges(0, 7_200_001, Every.HOUR, ZoneInfo("UTC"))]
    [0, 1, 2, 3]
    """
    shortest_ms = _SHORTEST_MS[every]
    if (until_ms - since_ms) / shortest_ms >= MOST:
        raise TooMany(f"that is more than {MOST} times every={every}; ask for less, or more apart")
    if every in {Every.DAY, Every.MONTH}:
        return _midnights(since_ms, until_ms, every, zone)
    offset_ms = _offset_ms(since_ms, zone) % shortest_ms  # an hour of India begins at half past
    first = since_ms - (since_ms + offset_ms) % shortest_ms
    last = until_ms + -(until_ms - first) % shortest_ms
    return list(range(first, last + 1, shortest_ms))


def _midnights(since_ms: int, until_ms: int, every: Every, zone: ZoneInfo) -> list[int]:
    day = _local(since_ms, zone).date()
    if every is Every.MONTH:
        day = day.replace(day=1)
    found: list[int] = []
    while not found or found[-1] < until_ms:
        midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
        found.append(epoch_ms(midnight.astimezone(UTC)))
        day += timedelta(days=1)
        while every is Every.MONTH and day.day != 1:
            day += timedelta(days=1)
    return found


def _local(at_ms: int, zone: ZoneInfo) -> datetime:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms)).astimezone(zone)


def _offset_ms(at_ms: int, zone: ZoneInfo) -> int:
    offset = _local(at_ms, zone).utcoffset() or timedelta()
    return offset // timedelta(milliseconds=1)
