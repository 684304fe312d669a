"""
A topic's id is the same text wherever it is shown: by the operator, by a pipeline, by Kafka itself.
"""

import asyncio
import re
from pathlib import Path

import pytest

from kafka_broker import Cluster, kafka_brokers
from kafka_operating import access
from trackmate_consume.kafka_groups import Groups
from trackmate_operator.kafka.admin import Admin
from waiting_for import wait_until

pytestmark = pytest.mark.needs("kafka")

NAMES = [f"acme.events-{number}" for number in range(16)]
"""One in two has an id that librdkafka writes in another alphabet."""


def as_kafka_keeps_it(cluster: Cluster, topic: str) -> str:
    file = cluster.brokers[0].home / "data" / f"{topic}-0" / "partition.metadata"
    wait_until(file.exists, "it is written")
    [found] = re.findall(r"topic_id: (\S+)", file.read_text("utf-8"))
    return str(found)


async def as_the_operator_says(cluster: Cluster, folder: Path) -> list[dict[str, str]]:
    admin = Admin(access(cluster, folder))
    try:
        found = await admin.topics(NAMES)
        return [await admin.topic_ids(NAMES), {name: one.id for name, one in found.items()}]
    finally:
        await admin.close()


def as_a_pipeline_says(cluster: Cluster) -> dict[str, str]:
    groups = Groups("acme", cluster.settings)
    try:
        return {name: groups.topic_id(name) for name in NAMES}
    finally:
        groups.close()


def test_a_topics_id_is_the_same_text_everywhere(tmp_path: Path) -> None:
    with kafka_brokers() as cluster:
        cluster.create(*NAMES, partitions=1)

        said = asyncio.run(as_the_operator_says(cluster, tmp_path))
        said.append(as_a_pipeline_says(cluster))

        assert said == [{name: as_kafka_keeps_it(cluster, name) for name in NAMES}] * 3
