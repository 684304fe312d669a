"""
What a pipeline keeps of one partition, in the metadata of its committed offset: its books travel
with its position in one write. Kafka takes at most 4,096 bytes of it (`offset.metadata.max.bytes`).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field, replace
from hashlib import sha256

import msgspec

from trackmate_consume.ledger import Counts, Outcome, Verdict

LONGEST = 4096
"""
Bytes of metadata. Nothing cuts them: the reasons are a closed set, and the largest counts, the
longest ids and the worst words of a pause take 3,722 together. A test holds it.
"""

_LONGEST_REASON = 300  # characters of a pause's reason, of up to 6 bytes


class Unreadable(ValueError):  # noqa: N818 - what the metadata is
    """Metadata that nobody of us wrote: somebody else committed for this group."""


class Stretch(msgspec.Struct, frozen=True, array_like=True):
    """What a replay reads of one partition, and what else is to be known of it."""

    replay: str
    """Its id."""
    until: int
    """The offset to stop before."""
    begun_ms: int
    """When it began, in ms since 1970."""
    earlier: tuple[str, ...] = ()
    """The ids of those before it: none runs again."""


class Pause(msgspec.Struct, frozen=True, array_like=True):
    """That a pipeline paused by itself, as in a storm of dead letters."""

    reason: str
    """In words."""
    resumed: str
    """What the settings said of `resumed` then, as `mark` has it: it holds while they say so."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a pipeline is in one partition, and what became of the events before."""

    next: int
    """The offset to read next."""
    first: int
    """Where it began; events before are not its own."""
    counts: Counts = field(default_factory=Counts)
    reasons: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """How many were filtered or put aside, by term and reason."""
    stretch: "Stretch | None" = None
    """What a replay reads of it; None for events as they come."""
    pause: "Pause | None" = None
    """Of the pipeline as a whole; whoever takes the partition over is told."""

    @property
    def ended(self) -> bool:
        """Whether a replay has no more to read here."""
        return self.stretch is not None and self.next >= self.stretch.until

    def after(self, settled: Sequence[Verdict]) -> "Position":
        """With these settled, which are of this partition and in order."""
        outcomes = [verdict.outcome for verdict in settled if verdict.outcome]
        added = Counts.of(
            outcomes,
            expired=sum([verdict.expired for verdict in settled]),
            documents=sum([verdict.documents for verdict in settled]),
        )
        reasons = Counter(self.reasons)
        for (outcome, reason), events in Counter(
            [(verdict.outcome, verdict.reason) for verdict in settled if verdict.reason]
        ).items():
            if outcome in {Outcome.FILTERED, Outcome.DEAD}:
                reasons[outcome.value, reason] += events
        return replace(
            self, next=settled[-1].offset + 1, counts=self.counts + added, reasons=dict(reasons)
        )

    @property
    def in_flight_before(self) -> int:
        """Events between the beginning and here that nothing is said of; 0 in true books."""
        return self.next - self.first - self.counts.settled


class _Kept(msgspec.Struct, array_like=True, omit_defaults=True):
    version: int
    first: int
    counts: list[int]
    reasons: list[tuple[str, str, int]]
    stretch: Stretch | None = None
    pause: Pause | None = None


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Kept).decode


def pause_of(reason: str, resumed: str) -> Pause:
    """
    >>> pause_of("answered 410", "").reason
    'answered 410'
    """
    return Pause(reason[:_LONGEST_REASON], mark(resumed))


def mark(resumed: str) -> str:
    """What tells one text of `resumed` from another, however long they are."""
    return sha256(resumed.encode()).hexdigest()[:16]


def to_metadata(position: Position) -> str:
    """
    >>> to_metadata(Position(7, 2, Counts(delivered=5), {("dead", "sink_refused"): 1}))
    '[1,2,[5,0,0,0,0,0,0],[["dead","sink_refused",1]],null,null]'
    """
    reasons = [(term, reason, events) for (term, reason), events in position.reasons.items()]
    counts = list(astuple(position.counts))
    kept = _Kept(1, position.first, counts, reasons, position.stretch, position.pause)
    return _encode(kept).decode()


def from_metadata(offset: int, metadata: str) -> Position:
    """
    Raises Unreadable.

    >>> from_metadata(7, '[1,2,[5,0,0,0,0,0,0],[]]').counts.delivered
    5
    """
    try:
        kept = _decode(metadata)
        counts = Counts(*kept.counts)
    except (msgspec.MsgspecError, TypeError):
        raise Unreadable(
            f"the committed offset {offset} has no books beside it ({metadata[:50]!r}): somebody "
            "else commits for this group; give it to the pipeline alone"
        ) from None
    reasons = {(term, reason): events for term, reason, events in kept.reasons}
    return Position(offset, kept.first, counts, reasons, kept.stretch, kept.pause)
