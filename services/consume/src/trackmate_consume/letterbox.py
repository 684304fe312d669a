"""
What a pipeline's dead-letter topic says, record by record: which letters wait, and what became of
those that wait no more. It is a log of its own beside the committed positions: whoever reads it to
the end knows both, and a crash can part neither.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from trackmate_consume.ledger import Counts, Outcome


class Origin(NamedTuple):
    """Where the record of a letter is in the log."""

    stream: str
    partition: int
    offset: int


class Waiting(NamedTuple):
    """A letter that waits to be looked at and sent again; its bytes stay in the topic."""

    number: int
    """Its offset in the topic and one: the newest where it was put aside several times."""
    key: str | None
    """Of the record."""
    received_ms: int
    reason: str
    attempts: int
    """In all."""
    counted: bool
    """Whether the books have its event as dead: not where it was delivered before a replay."""


class Answered(NamedTuple):
    """What became of a letter's event. `outcome` None: the books never had it as dead."""

    outcome: Outcome | None
    reason: str
    documents: int


@dataclass
class Letterbox:
    """The state after the records so far, in their order."""

    next: int = 0
    """The offset that comes next."""
    waiting: dict[Origin, Waiting] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)
    """What replays changed of the books: dead events fewer, and as many of other terms more."""
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)
    """The same, by term and reason."""
    counted_for: dict[Origin, str] = field(default_factory=dict, repr=False)
    """The reason under which the books have an event as dead."""

    def put(self, origin: Origin, letter: Waiting) -> None:
        """
        >>> box, origin = Letterbox(), Origin("events", 0, 7)
        >>> box.put(origin, Waiting(0, None, 5, "sink_refused", 3, counted=True))
        >>> box.put(origin, Waiting(1, None, 5, "sink_refused", 2, counted=False))
        >>> box.waiting[origin]
        Waiting(number=1, key=None, received_ms=5, reason='sink_refused', attempts=5, counted=True)
        """
        before = self.waiting.get(origin)
        if before is not None:
            letter = letter._replace(
                attempts=before.attempts + letter.attempts,
                counted=before.counted or letter.counted,
            )
        if letter.counted:
            self.counted_for.setdefault(origin, letter.reason)
        self.waiting[origin] = letter

    def answer(self, origin: Origin, answered: Answered) -> None:
        """
        A letter waits no more. Said twice, as after a crash, it counts once.

        >>> box, origin = Letterbox(), Origin("events", 0, 7)
        >>> box.put(origin, Waiting(0, None, 5, "sink_refused", 3, counted=True))
        >>> for _ in range(2):
        ...     box.answer(origin, Answered(Outcome.DELIVERED, "", 1))
        >>> box.counts == Counts(delivered=1, dead=-1, documents=1)
        True
        """
        before = self.waiting.pop(origin, None)
        reason = self.counted_for.pop(origin, "")
        if before is None or not before.counted or answered.outcome is None:
            return
        made = Counts.of([answered.outcome], expired=0, documents=answered.documents)
        self.counts = self.counts + made + Counts(dead=-1)
        self.reasons[Outcome.DEAD.value, reason] -= 1
        if answered.reason:
            self.reasons[answered.outcome.value, answered.reason] += 1

    @property
    def dead(self) -> int:
        """How many letters wait whose events the books have as dead."""
        return sum([letter.counted for letter in self.waiting.values()])
