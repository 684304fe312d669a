"""
Where ingest puts events. Two logs exist: the embedded one and Kafka.
"""

from collections.abc import Sequence
from typing import Protocol

from trackmate_contract.record import Event, Stamp


class Unavailable(Exception):  # noqa: N818 - the name of the answer it becomes
    """The log did not confirm: the events may or may not be stored, and repeating is safe."""


class Log(Protocol):
    """An append-only log of one affiliate."""

    async def append(self, stream: str, stamp: Stamp, events: Sequence[Event]) -> None:
        """
        Return when every event is stored: fsynced, or acknowledged by all in-sync replicas.

        The events keep their order. Raises Unavailable when that is not known in time, when the
        queue is full, or while draining. Never waits for ever.
        """
