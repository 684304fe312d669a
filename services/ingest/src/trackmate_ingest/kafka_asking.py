"""
Whether Kafka can be reached with these settings, and whether the topics keep the promise; what is
wrong is a sentence with its cure. librdkafka alone would say "timed out" to most of it.
"""

import asyncio

from confluent_kafka import KafkaError
from confluent_kafka.admin import AdminClient

from trackmate_contract.kafka import Kafka
from trackmate_contract.names import topic
from trackmate_ingest.kafka_topics import Asked, Unanswered, described, faults
from trackmate_ingest.producer import Settings
from trackmate_programs.kafka_reach import FINAL, refused, unreached

_TOLD_S = 0.1  # between two looks at what librdkafka complains of


async def ask(kafka: Kafka, settings: Settings, asked: Asked) -> list[str]:
    """
    What breaks the promise, a sentence each; none where all is right. Raises Unanswered where the
    brokers cannot be asked. `settings` are those of librdkafka, with the password.
    """
    away = await asyncio.to_thread(lambda: [*unreached(kafka)])
    if away:
        raise Unanswered(" ".join(away))
    complaints: list[KafkaError] = []
    admin = AdminClient({**settings, "log_level": 0, "error_cb": complaints.append})  # type: ignore[dict-item]
    names = [topic(asked.affiliate, stream) for stream in asked.streams]
    asking = asyncio.create_task(described(admin, names))
    try:
        while not asking.done() and not any(one.code() in FINAL for one in complaints):
            await asyncio.wait({asking}, timeout=_TOLD_S)
            admin.poll(0)
        if asking.done() and asking.exception() is None:
            return faults(asked, asking.result())
        raise Unanswered(refused(kafka, complaints) or str(asking.exception()))
    finally:
        asking.cancel()
