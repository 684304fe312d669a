"""
A partition that a member of the group has: what came of it, what was handed out, what is committed.
"""

from collections import deque
from dataclasses import dataclass, field

from trackmate_consume.kafka_positions import Position
from trackmate_contract.record import Record


@dataclass
class Held:
    """A partition that this member has."""

    position: Position
    """What is committed."""
    handed: int
    """The offset behind the last that was handed out."""
    taken: int
    """The offset behind the last that came from the brokers."""
    end: int = 0
    """The log's end as the last fetch told it."""
    waiting: deque[tuple[Record, int]] = field(default_factory=deque)
    """Records and their bytes, to be handed out."""
    again: tuple[int, int] = (-1, 0)
    """An offset that did not come as it was written, and how often in a row."""
    size: int = 0
    """Of those that wait, in bytes."""
    ages: deque[tuple[int, int]] = field(default_factory=deque)
    """Offsets that are not committed, and when their events were received, in ms since 1970."""

    @property
    def unsettled(self) -> bool:
        return self.handed > self.position.next

    @property
    def ended(self) -> bool:
        """Whether all of a replay was handed out."""
        stretch = self.position.stretch
        return stretch is not None and not self.waiting and self.taken >= stretch.until

    def keep(self, record: Record) -> None:
        """Let one wait that came from the brokers."""
        self.taken = record.offset + 1
        stretch = self.position.stretch
        if stretch is None or record.offset < stretch.until:
            size = len(record.value)
            self.waiting.append((record, size))
            self.size += size
            self.ages.append((record.offset, record.stamp.received_ms))

    def commit(self, position: Position) -> None:
        self.position = position
        while self.ages and self.ages[0][0] < position.next:
            self.ages.popleft()
