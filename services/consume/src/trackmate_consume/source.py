"""
Where a pipeline reads. Two sources exist: the embedded log and Kafka.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn, Protocol

from trackmate_consume.ledger import Settled
from trackmate_contract.record import Record


class Ended(Exception):  # noqa: N818 - what the source has done
    """
    The source can go on no more, and says why and what to do; another one, opened anew, begins
    where was last committed.
    """


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
        what is there, each offset once in the source's life. No records say that it reads, though
        nothing has come. None where there will be no more: only a replay ends.

        What was read and not committed comes again after a restart. Raises Ended.
        """

    async def commit(self, settled: Settled) -> None:
        """
        Write the positions and their counts in one write, so that no crash can part them.
        Raises Down when that is not known; repeating is safe. Raises Ended.
        """

    async def over(self) -> NoReturn:
        """Wait until it can go on no more, also while nothing is read. Raises Ended."""

    async def close(self) -> None:
        """Let go of what is held."""
