"""
A partition that a member of the group has: what came of it, what was handed out, what is committed.
"""

from collections import deque
from collections.abc import Sequence
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
    waiting: deque[Record] = field(default_factory=deque)
    """To be handed out."""
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

    def keep(self, records: Sequence[Record]) -> bool:
        """Let those wait that came from the brokers, up to where one is missing; False if so."""
        until = None if self.position.stretch is None else self.position.stretch.until
        taken = self.taken
        for record in records:
            offset = record.offset
            if offset > taken:
                break
            if offset == taken:
                taken += 1
                if until is None or offset < until:
                    self.waiting.append(record)
                    self.size += len(record.value)
                    self.ages.append((offset, record.stamp.received_ms))
        self.taken = taken
        return not records or records[-1].offset < taken

    def hand_out(self, most: int) -> tuple[list[Record], dict[int, int]]:
        """The next, and how many were lost to retention just before some, by their index."""
        records: list[Record] = []
        lost: dict[int, int] = {}
        waiting = self.waiting
        while waiting and len(records) < most:
            record = waiting.popleft()
            if gone := record.offset - self.handed:
                lost[len(records)] = gone
            self.handed = record.offset + 1
            self.size -= len(record.value)
            records.append(record)
        return records, lost

    def commit(self, position: Position) -> None:
        self.position = position
        while self.ages and self.ages[0][0] < position.next:
            self.ages.popleft()
