"""
The books of one pipeline: what became of every accepted event, counted once, when it settles.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Protocol

Place = tuple[str, int]
"""A stream and a partition."""


class Outcome(StrEnum):
    """What became of one event. Each value is a term of the ledger."""

    DELIVERED = "delivered"
    DUPLICATE = "duplicates"
    """The same id with the same bytes was there already."""
    CONFLICT = "conflicts"
    """The same id with other bytes was there already; this one is kept under its own key."""
    FILTERED = "filtered"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Counts:
    """The settled terms of the ledger; all but `documents` count events."""

    delivered: int = 0
    duplicates: int = 0
    conflicts: int = 0
    filtered: int = 0
    dead: int = 0
    expired: int = 0
    """Passed out of retention before they could settle."""
    documents: int = 0
    """Documents made: a transform may make several of an event, or none."""

    @property
    def settled(self) -> int:
        """
        >>> Counts(delivered=2, expired=1, documents=7).settled
        3
        """
        return (
            self.delivered
            + self.duplicates
            + self.conflicts
            + self.filtered
            + self.dead
            + self.expired
        )

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(Counts)))

    @classmethod
    def of(cls, outcomes: Iterable[Outcome], *, expired: int, documents: int) -> "Counts":
        """
        >>> Counts.of([Outcome.DELIVERED, Outcome.DUPLICATE], expired=0, documents=1).settled
        2
        """
        counted = {outcome.value: events for outcome, events in Counter(outcomes).items()}
        return cls(expired=expired, documents=documents, **counted)


class Verdict(Protocol):
    """What became of one record."""

    stream: str
    partition: int
    offset: int
    outcome: Outcome | None
    """None until it is settled."""
    reason: str
    """Why it was filtered or put aside, in one word; "" where it was neither."""
    documents: int
    """Made of it and kept."""
    expired: int
    """Lost to retention just before it."""


@dataclass(frozen=True, slots=True)
class Settled:
    """One step of a pipeline, to be written at once: the new positions and what they add."""

    positions: Mapping[Place, int]
    """The next offset to read of each place that moved."""
    counts: Counts
    reasons: Mapping[tuple[Outcome, str], int] = field(default_factory=dict)
    """How many events were filtered or put aside, by reason."""
    verdicts: Sequence[Verdict] = ()
    """Of every event that the counts count."""

    @classmethod
    def of(cls, verdicts: Sequence[Verdict], *, expired: int) -> "Settled":
        """Sum up settled records, which are in the order of each place."""
        outcomes = [verdict.outcome for verdict in verdicts if verdict.outcome]
        return cls(
            {(verdict.stream, verdict.partition): verdict.offset + 1 for verdict in verdicts},
            Counts.of(outcomes, expired=expired, documents=sum([v.documents for v in verdicts])),
            Counter([(v.outcome, v.reason) for v in verdicts if v.reason and v.outcome]),
            verdicts,
        )


@dataclass(frozen=True, slots=True)
class Line:
    """A pipeline's line of the ledger, as `trackmate audit` shows it."""

    name: str
    accepted: int
    """Events of what it reads, from where it began."""
    counts: Counts
    in_flight: int
    """Accepted and not settled yet, from the log's end and the positions."""
    reasons: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """How many were filtered or put aside, by term and reason."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """The books of one affiliate."""

    accepted: int
    """Over all streams."""
    lines: tuple[Line, ...]
    faults: tuple[str, ...] = field(default=())
    """What does not balance, in words; empty when the books do."""

    @property
    def balanced(self) -> bool:
        return not self.faults


def balance(accepted: int, lines: Iterable[Line]) -> Ledger:
    """
    Check that accepted = delivered + duplicates + conflicts + filtered + dead + expired + in
    flight, for each pipeline.

    >>> balance(3, [Line("store", 3, Counts(delivered=2, documents=2), in_flight=1)]).balanced
    True
    >>> balance(3, [Line("store", 3, Counts(delivered=2, documents=2), in_flight=0)]).faults
    ("pipeline 'store': 3 accepted, 2 settled and 0 in flight: 1 event is missing",)
    """
    kept = tuple(lines)
    faults = tuple(fault for line in kept if (fault := _fault(line)))
    return Ledger(accepted, kept, faults)


def _fault(line: Line) -> str | None:
    missing = line.accepted - line.counts.settled - line.in_flight
    if not missing:
        return None
    count = abs(missing)
    events = f"{count} event is" if count == 1 else f"{count} events are"
    what = "missing" if missing > 0 else "counted twice"
    return (
        f"pipeline {line.name!r}: {line.accepted} accepted, {line.counts.settled} settled and "
        f"{line.in_flight} in flight: {events} {what}"
    )
