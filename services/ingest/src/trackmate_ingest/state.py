"""
What is in force in the program and all of its workers.
"""

from dataclasses import dataclass, field

from trackmate_ingest.channel import InForce
from trackmate_ingest.configuration import Configuration


@dataclass
class State:
    """Changed in one process, and told to the others as a whole."""

    configuration: Configuration
    fault: str = "Kafka has not been asked about the topics yet."
    """Why nothing may be taken, in words; "" when it may."""
    note: str = ""
    """What to know although events are taken."""
    topic_faults: list[str] = field(default_factory=list)
    """What keeps the topics from keeping the promise now."""

    def in_force(self) -> InForce:
        return InForce(self.configuration, self.fault, self.note)
