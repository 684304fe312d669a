"""
What is to be done to a topic, and what cannot be. Pure.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from trackmate_operator.plan.kafka import Topic


@dataclass(frozen=True)
class Found:
    """A topic as it is."""

    id: str
    """Kafka's; another once it was removed and made anew."""
    partitions: int
    replicas: tuple[int, int]
    """Of the partition that has fewest, and of the one that has most."""
    config: Mapping[str, str]
    """What is in force, whoever said so: the topic, the broker, or Kafka's default."""


def drifted(wanted: Topic, found: Found) -> dict[str, str]:
    """The settings that are to be changed, as they are to be; others are nobody's business."""
    return {name: value for name, value in wanted.config.items() if found.config.get(name) != value}


def faults(wanted: Topic, found: Found) -> Iterator[str]:
    """What nobody can do to a topic that is there."""
    if found.partitions > wanted.partitions:
        yield (
            f"Topic {wanted.name!r} has {found.partitions} partitions and is to have "
            f"{wanted.partitions}: Kafka takes none away, as their events would be lost; ask for "
            f"{found.partitions}, or for a stream of another name."
        )
    if found.replicas != (wanted.replicas, wanted.replicas):
        yield (
            f"Topic {wanted.name!r} has {_replicas(found.replicas)} and is to have "
            f"{wanted.replicas}; move it with kafka-reassign-partitions.sh, or set topics.replicas "
            "in the operator's settings."
        )


def _replicas(found: tuple[int, int]) -> str:
    """
    >>> [_replicas(found) for found in ((1, 1), (3, 3), (1, 3))]
    ['1 replica', '3 replicas', '1 to 3 replicas']
    """
    least, most = found
    if least != most:
        return f"{least} to {most} replicas"
    return "1 replica" if most == 1 else f"{most} replicas"
