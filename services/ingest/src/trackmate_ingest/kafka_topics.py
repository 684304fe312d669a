"""
Whether the topics of an affiliate can keep what the answer 200 says: on several brokers, kept there
when one of them fails, and not dropped for being large or old under a key.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AclOperation, AdminClient, ConfigResource, ResourceType

from trackmate_contract.kafka_sizes import largest_batch
from trackmate_contract.names import topic

_ASKED_S = 10.0
_LOOK_S = 0.02
_LEAST_IN_SYNC = 2
_LEAST_REPLICAS = 3
RELAXED = "relaxed: what is stored may be on one broker alone"
"""What to know of a process that takes events on topics that do not keep the promise."""


@dataclass(frozen=True)
class Topic:
    """What the brokers say of one topic."""

    replicas: int
    """Of the partition that has fewest."""
    settings: Mapping[str, str]
    denied: tuple[str, ...] = ()
    """Of the operations that ingest needs, those that its user may not do."""


@dataclass(frozen=True)
class Asked:
    """What the topics of an affiliate must do."""

    affiliate: str
    streams: Sequence[str]
    event_bytes: int
    relaxed: bool = False
    """For development on one broker: an event may be on that alone."""


class Unanswered(Exception):  # noqa: N818 - what happened
    """The brokers could not be asked."""


def faults(asked: Asked, topics: Mapping[str, Topic]) -> list[str]:
    """
    What breaks the promise, a sentence each with its cure.

    >>> settings = {"min.insync.replicas": "2", "max.message.bytes": "1048588"}
    >>> faults(Asked("acme", ["events"], 65536), {"acme.events": Topic(3, settings)})
    []
    >>> faults(Asked("acme", ["events"], 65536), {})[0]
    "Kafka has no topic 'acme.events'; make it with 3 replicas and min.insync.replicas=2."
    """
    found: list[str] = []
    for stream in asked.streams:
        name = topic(asked.affiliate, stream)
        there = topics.get(name)
        if there is None:
            cure = f"make it with {_LEAST_REPLICAS} replicas and min.insync.replicas=2."
            found.append(f"Kafka has no topic {name!r}; {cure}")
        elif there.denied:
            cure = f"allow its user {' and '.join(there.denied)} on the topic."
            found.append(f"Kafka does not let ingest use topic {name!r}; {cure}")
        else:
            found += [f"Topic {name!r} {words}" for words in _faults_of(asked, there)]
    return found


def _faults_of(asked: Asked, there: Topic) -> Iterator[str]:
    settings = there.settings
    if not asked.relaxed:
        yield from _unreplicated(there)
    if settings.get("unclean.leader.election.enable") == "true":
        yield (
            "lets a broker lead that lacks acknowledged events; set "
            "unclean.leader.election.enable=false."
        )
    if "compact" in settings.get("cleanup.policy", "delete"):
        yield "keeps only the last event of each key; set cleanup.policy=delete."
    least = largest_batch(asked.event_bytes)
    most = int(settings.get("max.message.bytes", least))
    if most < least:
        yield (
            f"takes batches of {most} bytes at most, and events of {asked.event_bytes} may make "
            f"larger ones; set max.message.bytes={least}."
        )


def _unreplicated(there: Topic) -> Iterator[str]:
    if there.replicas < _LEAST_REPLICAS:
        number = "1 replica" if there.replicas == 1 else f"{there.replicas} replicas"
        yield (
            f"has {number}: it stops, or loses events, with one broker; give it "
            f"{_LEAST_REPLICAS}, or set kafka.relaxed for development."
        )
    in_sync = int(there.settings.get("min.insync.replicas", "1"))
    if in_sync < _LEAST_IN_SYNC:
        yield (
            f"has min.insync.replicas={in_sync}: an acknowledged event may be on one broker alone; "
            f"set it to {_LEAST_IN_SYNC}, or set kafka.relaxed for development."
        )


async def described(admin: AdminClient, names: Sequence[str]) -> dict[str, Topic]:
    """
    The topics that are there. Needs Describe and DescribeConfigs on them. Raises Unanswered.
    """
    try:
        return await _described(admin, names)
    except KafkaException as fault:
        raise Unanswered(
            f"Kafka could not be asked about its topics: {fault.args[0].str()}"
        ) from None


async def _described(admin: AdminClient, names: Sequence[str]) -> dict[str, Topic]:
    asked = admin.describe_topics(
        TopicCollection([*names]), include_authorized_operations=True, request_timeout=_ASKED_S
    )
    known = {name: await _answer(one) for name, one in asked.items()}
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in names if known[name]]
    configs = admin.describe_configs(resources, request_timeout=_ASKED_S) if resources else {}
    settings = {resource.name: await _answer(config) for resource, config in configs.items()}
    there = ((name, _topic(known[name], settings.get(name))) for name in names)
    return {name: found for name, found in there if found is not None}


_DENIED = False
"""What the brokers answer where the user may not ask."""


async def _answer(asked: Future[Any]) -> Any:
    """What was asked for, None where it is not there, or _DENIED."""
    while not asked.done():  # noqa: ASYNC110 - a wrapped future would be cancelled under librdkafka
        await asyncio.sleep(_LOOK_S)
    try:
        return asked.result()
    except KafkaException as fault:
        code = fault.args[0].code()
        if code == KafkaError.UNKNOWN_TOPIC_OR_PART:
            return None
        if code == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            return _DENIED
        raise


def _topic(description: Any, config: Any) -> Topic | None:
    if description is None or (description and config is None):  # removed meanwhile
        return None
    if description is _DENIED:
        return Topic(0, {}, ("Write", "Describe", "DescribeConfigs"))
    operations = description.authorized_operations
    denied = ("Write",) if operations and AclOperation.WRITE not in operations else ()
    if config is _DENIED:
        return Topic(0, {}, (*denied, "DescribeConfigs"))
    replicas = min(len(one.replicas) for one in description.partitions)
    return Topic(replicas, {name: str(entry.value) for name, entry in config.items()}, denied)
