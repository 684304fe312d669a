"""
All that a topic holds, as another client reads it.
"""

from collections.abc import Mapping
from typing import Any

from confluent_kafka import Consumer, Message, TopicPartition

_WAIT_S = 30.0


def whole_topic(settings: Mapping[str, Any], topic: str, *, partitions: int) -> list[Message]:
    """From its first record on, each partition in order; `settings` are those of a client."""
    consumer = Consumer({**settings, "group.id": "reading", "enable.partition.eof": True})
    consumer.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
    found: list[Message] = []
    ended = 0
    while ended < partitions:
        message = consumer.poll(_WAIT_S)
        assert message is not None, f"{topic} does not come to an end"
        if message.error():
            ended += 1
        else:
            found.append(message)
    consumer.close()
    return found
