"""
Events on their way to the sink, so that those of one key keep their order.

A key is held while one of its events is being written by another lane, or is set aside to be tried
again later; events that follow under a held key wait behind it, and all others go on.
"""

import heapq
from collections import deque
from collections.abc import Iterable, Sequence

from trackmate_consume.ledger import Outcome
from trackmate_consume.sink import Translated
from trackmate_contract.record import Record


class Entry:
    """One record between reading and commit: a Verdict, and how its tries went."""

    __slots__ = (
        "documents",
        "due_at",
        "expired",
        "failed_at",
        "key",
        "offset",
        "outcome",
        "partition",
        "reason",
        "refused_s",
        "size",
        "stream",
        "translated",
        "tried_at",
        "tries",
    )

    translated: Translated
    """There once the event is ready to be written, and until it is settled."""

    def __init__(self, record: Record, key: str | None) -> None:
        self.stream = record.stream
        self.partition = record.partition
        self.offset = record.offset
        self.key = key
        self.size = len(record.value)
        self.outcome: Outcome | None = None
        self.reason = ""
        self.documents = 0
        self.expired = 0
        self.tries = 0
        self.failed_at = 0.0
        self.tried_at = 0.0
        self.due_at = 0.0
        self.refused_s = 0.0

    def __lt__(self, other: "Entry") -> bool:
        return self.due_at < other.due_at

    def settle(self, outcome: Outcome, *, documents: int = 0, reason: str = "") -> None:
        """Say what became of it."""
        self.outcome = outcome
        self.documents = documents
        self.reason = reason

    def settle_written(self, outcome: Outcome, *, documents: int = 0, reason: str = "") -> None:
        """Say what became of it at the sink, and let go of its bytes: the commit may be far."""
        self.outcome = outcome
        self.documents = documents
        self.reason = reason
        del self.translated


class Waiting:
    """The entries that no lane writes at the moment."""

    def __init__(self, *, lanes: int) -> None:
        self._several = lanes > 1  # one lane alone cannot overtake itself
        self._ready: deque[Entry] = deque()
        self._held: dict[str, deque[Entry]] = {}
        self._aside: list[Entry] = []
        self._took_aside = False

    @property
    def ready(self) -> int:
        """How many wait for nothing but a lane."""
        return len(self._ready)

    @property
    def aside(self) -> Sequence[Entry]:
        """Those that were refused and are tried again later, in no order."""
        return self._aside

    def next_due_at(self) -> float | None:
        """When the first that was set aside is to be tried again."""
        return self._aside[0].due_at if self._aside else None

    def add(self, entries: Iterable[Entry]) -> None:
        self._ready.extend(entries)

    def take(self, *, most: int, most_bytes: int, now: float) -> list[Entry]:
        """
        The next batch, never empty unless there is nothing: one event alone that is due again, or
        what is ready, at most so many events and bytes. In turns, so that many that are refused do
        not stop their neighbours.
        """
        due = bool(self._aside) and self._aside[0].due_at <= now
        if due and not (self._took_aside and self._ready):
            return self._due_again()
        self._took_aside = False
        batch = self._ready_batch(most, most_bytes)
        return batch or (self._due_again() if due else [])

    def _due_again(self) -> list[Entry]:
        self._took_aside = True
        return [heapq.heappop(self._aside)]

    def _ready_batch(self, most: int, most_bytes: int) -> list[Entry]:
        batch: list[Entry] = []
        mine: set[str] = set()
        size = 0
        ready = self._ready
        free = not (self._several or self._held)
        while ready and len(batch) < most:
            entry = ready[0]
            size += entry.size
            if batch and size > most_bytes:
                break
            ready.popleft()
            if free or self._may_go(entry, mine):
                batch.append(entry)
            else:
                size -= entry.size
        return batch

    def release(self, batch: Iterable[Entry]) -> None:
        """The batch was settled: what waited behind its keys is ready."""
        if not self._held:
            return
        for entry in batch:
            behind = self._held.pop(entry.key, None) if entry.key is not None else None
            if behind:
                self._ready.extendleft(reversed(behind))

    def put_back(self, batch: Sequence[Entry]) -> None:
        """The batch was not settled: it is the next to be taken."""
        self.release(batch)
        self._ready.extendleft(reversed(batch))

    def set_aside(self, entry: Entry, *, due_at: float) -> None:
        """Try the entry again later, and let others go on meanwhile; its key waits."""
        entry.due_at = due_at
        if entry.key is not None:
            self._held.setdefault(entry.key, deque())
        heapq.heappush(self._aside, entry)

    def hasten(self, *entries: Entry) -> None:
        """Let entries that were set aside be due now."""
        for entry in entries:
            entry.due_at = 0.0
        heapq.heapify(self._aside)

    def _may_go(self, entry: Entry, mine: set[str]) -> bool:
        """Whether the key is free; it waits behind its key otherwise."""
        key = entry.key
        if key is None or key in mine:
            return True
        if self._held and (behind := self._held.get(key)) is not None:
            behind.append(entry)
            return False
        if self._several:
            mine.add(key)
            self._held[key] = deque()
        return True
