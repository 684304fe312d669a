"""
The operator's own user beside Strimzi: a KafkaUser with the rights of the manual, and no others.
"""

import asyncio
from base64 import b64decode
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from control_plane import control_plane
from kafka_broker import kafka_brokers
from looking_on import looking_on
from operating import SYSTEM, topics, users
from strimzi_reached import Reached
from strimzi_standin import NAME, NAMESPACE, strimzi
from tenants import affiliate

pytestmark = [pytest.mark.needs("cluster"), pytest.mark.needs("kafka"), pytest.mark.timeout(200)]

REGISTRY = "trackmate.registry"
RIGHTS = [
    ("cluster", "", ["Describe"]),
    ("topic", "*", ["DescribeConfigs", "Delete"]),
    ("topic", REGISTRY, ["Create", "Read", "Write"]),
    ("group", REGISTRY, ["Read"]),
    ("transactionalId", REGISTRY, ["Write"]),
]


def rule(kind: str, name: str, operations: list[str]) -> dict[str, Any]:
    resource = {"type": kind, **({"name": name} if name else {})}
    return {"resource": resource, "operations": operations}


def test_its_rights_are_enough(tmp_path: Path) -> None:
    with control_plane() as plane, kafka_brokers(secured=True) as kafka, ExitStack() as working:
        plane.install_crds()
        plane.kubectl("create", "namespace", SYSTEM)
        working.enter_context(strimzi(plane, kafka))
        at = Reached(plane, kafka, NAME, NAMESPACE)
        acls = [rule(*one) for one in RIGHTS]
        plane.apply(at.user("operator", authorization={"type": "simple", "acls": acls}))
        at.wait_for("kafkauser", "operator", "Ready")
        password = tmp_path / "own"
        password.write_bytes(b64decode(at.read("secret", "operator")["data"]["password"]))
        login = {"username": "operator", "passwordFile": str(password)}
        own = {"kafka": {"bootstrapServers": kafka.bootstrap, "sasl": login}}

        async def scenario() -> None:
            async with looking_on(tmp_path, plane, kafka, **at.settings, **own) as looking:
                plane.apply(affiliate("modest", deletionPolicy="Delete"))
                await looking.look("modest")
                assert "modest.events" in topics(kafka)
                assert {"operator", "modest-ingest"} <= users(kafka)
                confirm = "trackmate.io/confirm-delete=modest"
                plane.kubectl("annotate", "affiliate", "modest", confirm)
                plane.kubectl("delete", "affiliate", "modest", "--wait=false")
                await looking.look("modest")
                assert "modest.events" not in topics(kafka)
                assert "modest-ingest" not in users(kafka)

        asyncio.run(scenario())
