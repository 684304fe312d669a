"""
Where a pipeline reads. Two sources exist: the embedded log and Kafka.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from trackmate_consume.ledger import Settled
from trackmate_contract.record import Record


@dataclass(frozen=True, slots=True)
class Fetched:
    """Records in the order of each place, and what was lost to retention just before some."""

    records: Sequence[Record]
    expired: Mapping[int, int] = field(default_factory=dict)
    """How many were lost just before a record, by the record's index."""


class Source(Protocol):
    """The records of one pipeline, from where it last committed."""

    async def read(self, *, most: int, wait_s: float) -> Fetched | None:
        """
        Wait for a first record, then at most `wait_s` seconds more for `most` of them, and return
        what is there, each offset once in a process's life. None where there will be no more: only
        a replay ends.

        What was read and not committed comes again after a restart.
        """

    async def commit(self, settled: Settled) -> None:
        """
        Write the positions and their counts in one write, so that no crash can part them.
        Raises Down when that is not known; repeating is safe.
        """

    def close(self) -> None:
        """Let go of what is held."""
