"""
What `trackmate-consume --check` looks at beyond the files: the expressions, the way to Kafka, what
its user may do there, and whether the sink can be opened.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence

from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka.admin import AclOperation, AdminClient

from trackmate_consume.assembly import Surroundings, cluster_of, sink_of, store_of
from trackmate_consume.configuration import Configuration
from trackmate_consume.expressions.host import Unstarted
from trackmate_consume.kafka_groups import QUIET
from trackmate_consume.program import misspelt
from trackmate_consume.sink import Down, Unfit
from trackmate_contract.names import dead_letter_topic, group, topic
from trackmate_programs.kafka_reach import FINAL, refused, unreached

_ASKED_S = 10.0


async def check(configuration: Configuration) -> list[str]:
    """What is wrong, a sentence each."""
    return [
        *await _of_the_program(configuration),
        *await asyncio.to_thread(lambda: [*_of_kafka(configuration)]),
        *await _of_the_sink(configuration),
    ]


async def _of_the_program(configuration: Configuration) -> list[str]:
    spec = configuration.settings.spec
    if spec is None:
        return []
    try:
        faults = await misspelt(spec)
    except Unstarted as why:
        return [f"the expressions could not be looked at: {why}"]
    return [f"{fault.path}: {fault}" for fault in faults]


def _of_kafka(configuration: Configuration) -> Iterator[str]:
    access, settings = configuration.access, configuration.settings
    away = [*unreached(access.kafka)]
    if away:
        yield from away
        return
    complaints: list[KafkaError] = []
    consumer = Consumer(
        {
            **access.client,
            "group.id": group(settings.affiliate, settings.pipeline),
            "enable.auto.commit": False,
            "log_level": 0,
            "error_cb": complaints.append,
        }
    )
    streams = [topic(settings.affiliate, stream) for stream in configuration.streams]
    dead = dead_letter_topic(settings.affiliate, settings.pipeline)
    try:
        for name in (*streams, dead):
            yield from _of_topic(consumer, name)
        yield from _of_group(access.client, group(settings.affiliate, settings.pipeline))
    except KafkaException as fault:
        consumer.poll(0)  # what it complains of
        final = [one for one in complaints if one.code() in FINAL]
        said = refused(access.kafka, final or complaints)
        yield said or f"Kafka cannot be used: {fault.args[0].str()}."
    finally:
        consumer.close()


def _of_topic(consumer: Consumer, name: str) -> Iterator[str]:
    known = consumer.list_topics(name, timeout=_ASKED_S).topics[name]
    code = None if known.error is None else known.error.code()
    if code in {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC}:  # noqa: SLF001
        yield f"Kafka has no topic {name!r}; make it, with 1 partition if it is for dead letters."
    elif code == KafkaError.TOPIC_AUTHORIZATION_FAILED:
        yield f"Kafka does not let its user use topic {name!r}; allow it Read and Describe on it."
    elif known.error is not None:
        raise KafkaException(known.error)


def _of_group(client: Mapping[str, str], name: str) -> Iterator[str]:
    admin = AdminClient({**client, **QUIET})
    asked = admin.describe_consumer_groups(
        [name], include_authorized_operations=True, request_timeout=_ASKED_S
    )
    try:
        may = asked[name].result().authorized_operations or ()
    except KafkaException as fault:
        if fault.args[0].code() != KafkaError.GROUP_AUTHORIZATION_FAILED:
            raise
        may = ()
    if AclOperation.READ not in may:
        yield f"Kafka does not let its user join the group {name!r}; allow it Read on it."


async def _of_the_sink(configuration: Configuration) -> Sequence[str]:
    settings = configuration.settings
    if settings.spec is not None and settings.spec.sink.files is not None:
        return []  # a folder has one writer, and that may be at work
    cluster = cluster_of(settings.couchbase)
    around = Surroundings(
        configuration.secret,
        configuration.networks,
        settings.affiliate,
        settings.pipeline,
        couchbase=cluster,
    )
    try:
        sink = store_of(cluster) if settings.spec is None else sink_of(settings.spec, around)
        try:
            await sink.open()
        finally:
            await sink.close()
    except Unfit as fault:
        return [f"{fault.path}: {fault}"]
    except Down as fault:
        return [f"the sink cannot be opened: {fault}"]
    finally:
        if cluster is not None:
            await cluster.close()
    return []
