"""
Dead letters: records put aside with their reason, to be looked at and sent again.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from trackmate_contract.record import Record

SINK_REFUSED = "sink_refused"
"""The reason where the sink refused an event for the pipeline's `retry.for` and took others."""


class DeadLetter(NamedTuple):
    """A record as it was read, with its original bytes, and why it was put aside."""

    record: Record
    reason: str
    """One of a closed set, for programs."""
    detail: str
    """The reason in words, for people."""
    attempts: int
    """How often it was tried."""


class Kept(NamedTuple):
    """A dead letter as it is kept."""

    number: int
    """From 1 on; one that is put aside again gets a new one."""
    letter: DeadLetter
    """`attempts` in all, over every time that it was put aside."""
    dead_ms: int
    """When it was put aside, in ms since 1970."""


class DeadLetters(Protocol):
    """Where a pipeline puts records aside: an embedded table, or a topic."""

    async def put(self, letters: Sequence[DeadLetter]) -> None:
        """
        Return once every letter is safe: only then may the record's position be committed. The
        same record put again is one letter, with the later reason. Raises Down.
        """
