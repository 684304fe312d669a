"""
A pipeline's books on Kafka, as anyone can compute them: from what its group committed, the end of
its stream, and its dead letters.
"""

from collections.abc import Mapping
from typing import Any

from trackmate_consume.kafka_groups import Groups
from trackmate_consume.kafka_ledger import Edges, faults_of, line_of
from trackmate_consume.kafka_letterbox import KafkaLetterbox
from trackmate_consume.kafka_reading import Reading
from trackmate_consume.ledger import Line


class KafkaBooks:
    """Of one pipeline that reads the stream `events`."""

    def __init__(self, settings: Mapping[str, Any], affiliate: str, pipeline: str) -> None:
        self._reading = Reading(affiliate, pipeline, ["events"])
        self._groups = Groups(affiliate, lambda: settings)
        self.box = KafkaLetterbox(affiliate, pipeline, lambda: settings)

    def look(self) -> tuple[Line, list[str]]:
        """Its line, and what is wrong with it in words."""
        positions = self._groups.positions(self._reading.group)
        ends = self._groups.ends(self._reading.topics)
        edges = Edges({}, {("events", number): end for (_, number), end in ends.items()})
        with self.box.read() as box:
            line = line_of(self._reading, positions, edges, box)
            return line, [*faults_of(line, positions, edges, letters=box.dead)]

    def close(self) -> None:
        self._groups.close()
