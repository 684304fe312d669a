"""
What was read and is not committed yet: events settle in any order, positions move in one.
"""

from collections import deque
from collections.abc import Sequence

from trackmate_consume.ledger import Settled
from trackmate_consume.waiting import Entry

_MOST = 100_000  # entries: how far the commit may be behind, and what a crash repeats at most
_MOST_BYTES = 64 << 20  # of events that are not settled


class Window:
    """The entries in the order of reading."""

    def __init__(self, *, most: int = _MOST, most_bytes: int = _MOST_BYTES) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._entries: deque[Entry] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def full(self) -> bool:
        return len(self._entries) >= self._most or self._bytes >= self._most_bytes

    @property
    def oldest(self) -> Entry | None:
        """The first that is not taken."""
        return self._entries[0] if self._entries else None

    def add(self, entries: Sequence[Entry]) -> None:
        self._entries.extend(entries)
        self._bytes += sum([entry.size for entry in entries])

    def settled(self, entries: Sequence[Entry]) -> None:
        """These have let go of their bytes."""
        self._bytes -= sum([entry.size for entry in entries])

    def take(self) -> Settled | None:
        """Remove what is settled up to the first that is not; None where nothing is."""
        taken = []
        entries = self._entries
        while entries and entries[0].outcome is not None:
            taken.append(entries.popleft())
        if not taken:
            return None
        return Settled.of(taken, expired=sum([entry.expired for entry in taken]))
