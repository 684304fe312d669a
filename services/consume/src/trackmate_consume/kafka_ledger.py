"""
The books of a pipeline on Kafka: from what its group committed, the ends of the log, and what the
dead-letter topic says of replays.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from trackmate_consume.kafka_positions import Position
from trackmate_consume.kafka_reading import Reading
from trackmate_consume.ledger import Line, Place
from trackmate_consume.letterbox import Letterbox


@dataclass(frozen=True)
class Edges:
    """Of the log, by stream and partition."""

    firsts: Mapping[Place, int]
    """The oldest offsets that are kept."""
    ends: Mapping[Place, int]
    """The offsets behind the last."""


def line_of(
    reading: Reading, positions: Mapping[Place, Position], edges: Edges, box: Letterbox
) -> Line:
    """
    One pipeline's line. A partition without a position is read from its start on, as soon as the
    pipeline gets to it.

    >>> from trackmate_consume.ledger import Counts
    >>> reading, box = Reading("acme", "crm", ["events"]), Letterbox()
    >>> positions = {("events", 0): Position(7, 2, Counts(delivered=5))}
    >>> edges = Edges({}, {("events", 0): 9, ("events", 1): 3})
    >>> line = line_of(reading, positions, edges, box)
    >>> line.accepted, line.counts.delivered, line.in_flight
    (10, 5, 5)
    """
    accepted = in_flight = 0
    counts, reasons = box.counts, dict(box.reasons)
    wanted = {place for place in edges.ends if place[0] in reading.streams}
    for place in {*positions, *wanted}:
        position = positions.get(place)
        if position is None:
            waits = edges.ends[place] - _start(reading, place, positions, edges)
            accepted, in_flight = accepted + waits, in_flight + waits
            continue
        # a stream that it once read counts up to where it stopped
        end = edges.ends.get(place, 0) if place[0] in reading.streams else position.next
        accepted += max(0, end - position.first)
        in_flight += max(0, end - position.next)
        counts = counts + position.counts
        for which, events in position.reasons.items():
            reasons[which] = reasons.get(which, 0) + events
    kept = {which: events for which, events in reasons.items() if events > 0}
    return Line(reading.pipeline, accepted, counts, in_flight, kept)


def _start(reading: Reading, place: Place, positions: Mapping[Place, Any], edges: Edges) -> int:
    begun = any(stream == place[0] for stream, _ in positions)
    if begun:
        return 0
    return edges.firsts.get(place, 0) if reading.start == "earliest" else edges.ends[place]


def faults_of(
    line: Line, positions: Mapping[Place, Position], edges: Edges, *, letters: int | None
) -> Iterable[str]:
    """
    What of the books is not really there. `letters`: those that wait and are counted as dead; None
    where retention may have taken some.
    """
    name = line.name
    for (stream, partition), position in positions.items():
        end = edges.ends.get((stream, partition), position.next)
        if position.next > end:
            yield (
                f"pipeline {name!r}: it read {stream}/{partition} up to {position.next}, and the "
                f"log ends at {end}: the topic was replaced by another"
            )
    dead = line.counts.dead
    if letters is not None and not dead <= letters <= dead + line.in_flight:
        yield f"pipeline {name!r}: {dead} dead letters counted, {letters} kept"
