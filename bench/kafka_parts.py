"""
What the benchmarks on Kafka share: programs that are held to one core, a topic with events in it,
and the CPU of a program with its children.
"""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from kafka_broker import Cluster
from run import EVENT
from trackmate_contract.names import topic
from trackmate_contract.record import Stamp, to_headers
from waiting_for import wait_until

AFFILIATE = "acme"
TOPIC = topic(AFFILIATE, "events")
PARTITIONS = 6  # what an affiliate's stream has that says nothing else
OURS, THEIRS = 1, 0
"""The core of what is measured, and that of the broker and the load."""


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """What is started meanwhile stays on this core, with all of its threads."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def fill(cluster: Cluster, events: int, *, name: str = TOPIC) -> None:
    """Events as ingest writes them, spread over the partitions by their keys."""
    settings = {"linger.ms": 5, "compression.type": "lz4", "partitioner": "murmur2_random"}
    producer = Producer({**cluster.settings(), **settings})
    now = int(time.time() * 1000)
    for number in range(events):
        user = str(number % 1000)
        value = (EVENT % (number % 1000)).replace("ID", f"{number:015d}")
        headers: list[Any] = list(to_headers(f"{number:015d}", Stamp(now, "server", "track")))
        while True:
            try:
                producer.produce(name, value, user, headers=headers)
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    assert not producer.flush(60)


def create(cluster: Cluster, *names: str, partitions: int = PARTITIONS) -> None:
    """Topics, once they can be written."""
    cluster.create(*names, partitions=partitions)
    wait_until(lambda: _led(cluster, names[-1], partitions), "the partitions have leaders")


def _led(cluster: Cluster, name: str, partitions: int) -> bool:
    try:
        stored(cluster, name=name, partitions=partitions)
    except KafkaException:
        return False
    return True


def stored(cluster: Cluster, *, name: str = TOPIC, partitions: int = PARTITIONS) -> int:
    """How many records the topic ever got."""
    consumer = Consumer({**cluster.settings(), "group.id": "bench-ends"})
    try:
        ends = [
            consumer.get_watermark_offsets(TopicPartition(name, number), timeout=10)
            for number in range(partitions)
        ]
    finally:
        consumer.close()
    return sum(high for _, high in ends)


def tree_cpu_seconds(pid: int) -> float:
    """User and system, of a process, its children, and those of them that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    own = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return own + sum([tree_cpu_seconds(child) for child in children(pid)])


def children(pid: int) -> Sequence[int]:
    """Those of all of its threads."""
    listed = [path.read_text("utf-8") for path in Path(f"/proc/{pid}/task").glob("*/children")]
    return [int(child) for text in listed for child in text.split()]


def load() -> str:
    """What else this machine does, as a sentence: figures of a busy machine spread."""
    return f"Load average at the end: {os.getloadavg()[0]:.1f}, over 1 minute.\n"
