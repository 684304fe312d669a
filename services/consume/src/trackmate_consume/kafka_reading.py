"""
What a pipeline reads of Kafka, and as which group.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from trackmate_consume.kafka_positions import Stretch
from trackmate_consume.ledger import Place
from trackmate_contract.names import dead_letter_topic, group, replay_group, topic

DEAD = "dead letters"
"""What the dead-letter topic is called where a stream is named: no stream can be."""


@dataclass(frozen=True)
class Again:
    """A replay: what was read before is read again, up to where each partition then was."""

    stretch: Stretch
    """Its `until` is of no partition."""
    ends: Mapping[Place, int]
    """The offsets to stop before; where none is named, at the beginning."""


@dataclass(frozen=True)
class Reading:
    """What a pipeline reads."""

    affiliate: str
    pipeline: str
    streams: Sequence[str]
    """Or `DEAD` alone."""
    start: str | datetime = "earliest"
    again: Again | None = None

    @property
    def topics(self) -> dict[str, str]:
        """Streams by their topics."""
        return {self.topic(stream): stream for stream in self.streams}

    def topic(self, stream: str) -> str:
        if stream == DEAD:
            return dead_letter_topic(self.affiliate, self.pipeline)
        return topic(self.affiliate, stream)

    @property
    def group(self) -> str:
        name = group if self.again is None else replay_group
        return name(self.affiliate, self.pipeline)
