"""
What the Kafka users of an affiliate may do, and nothing beyond it: one user for ingest and one for
each pipeline, by literal names alone. A prefix would be another tenant's too: `acme` begins
`acme-2`.

Operations and resources are called as in Kafka's documentation ("Authorization and ACLs"). Read and
Write imply Describe; it is named so that each list says all that is meant.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from .names import dead_letter_topic, group, replay_group, topic

Operation = Literal["Read", "Write", "Describe", "DescribeConfigs"]


class Right(NamedTuple):
    """What a user may do with one resource, from every host."""

    resource: Literal["Topic", "Group"]
    name: str
    """Of exactly this resource: pattern type literal."""
    operations: tuple[Operation, ...]


def ingest_rights(affiliate: str, streams: Sequence[str]) -> tuple[Right, ...]:
    """
    Of the user of `trackmate-ingest`.

    >>> ingest_rights("acme", ["events"])
    (Right(resource='Topic', name='acme.events', \
operations=('Write', 'Describe', 'DescribeConfigs')),)
    """
    return tuple(
        Right("Topic", topic(affiliate, stream), ("Write", "Describe", "DescribeConfigs"))
        for stream in streams
    )


def pipeline_rights(affiliate: str, pipeline: str, streams: Sequence[str]) -> tuple[Right, ...]:
    """
    Of a pipeline's user: it reads its streams as its groups, and keeps and reads its dead letters.
    `streams` is one; of the pipeline `store`, all.

    >>> [f"{right.resource} {right.name}" for right in pipeline_rights("acme", "crm", ["events"])]
    ['Topic acme.events', 'Topic acme.crm.dead', 'Group acme.crm', 'Group acme.crm.replay']
    """
    return (
        *(Right("Topic", topic(affiliate, stream), ("Read", "Describe")) for stream in streams),
        Right("Topic", dead_letter_topic(affiliate, pipeline), ("Read", "Write", "Describe")),
        Right("Group", group(affiliate, pipeline), ("Read", "Describe")),
        Right("Group", replay_group(affiliate, pipeline), ("Read", "Describe")),
    )
