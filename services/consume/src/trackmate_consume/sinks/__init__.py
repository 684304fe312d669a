"""
Where documents end. A sink is one module with one class that keeps this contract.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from trackmate_consume.ledger import Outcome
from trackmate_contract.record import Record


class Down(Exception):  # noqa: N818 - a state of the sink
    """The sink does not take documents now; whether it took these is not known."""


@dataclass(frozen=True, slots=True)
class Document:
    """One event, translated."""

    key: str
    """Unique to the event: a repeat has the same key."""
    fingerprint: bytes
    """SHA-256 of what makes two events of one id the same event."""
    value: bytes
    record: Record
    """Where it came from."""


class Sink(Protocol):
    """A place that takes documents in batches."""

    async def write(self, documents: Sequence[Document]) -> Sequence[Outcome]:
        """
        Return what became of each document, in order, once every one is safe.

        Safe to repeat: a document that came from the same record is delivered, not a duplicate.
        Raises Down when the sink does not answer; then any part may have been written.
        """
