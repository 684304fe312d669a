"""
The operator beside Strimzi: its own KafkaUser with the rights of the manual, and on the cluster no
more than it uses.
"""

import asyncio
import json
from base64 import b64decode
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from control_plane import control_plane
from kafka_broker import kafka_brokers
from looking_on import looking_on
from operating import SYSTEM, operating, ready, topics, users, wait_for
from rights_used import RBAC, RBAC_STRIMZI, Use, given, make_account, refused, used
from strimzi_reached import Reached
from strimzi_standin import NAME, NAMESPACE, strimzi
from tenants import affiliate, pipeline
from waiting_for import wait_until

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


def test_its_rights_on_the_cluster_are_those_that_it_uses(tmp_path: Path) -> None:
    with (
        control_plane(audited=True) as plane,
        kafka_brokers(secured=True) as kafka,
        ExitStack() as working,
    ):
        plane.install_crds()
        plane.kubectl("create", "namespace", SYSTEM)
        working.enter_context(strimzi(plane, kafka))
        account = make_account(plane, RBAC, RBAC_STRIMZI)
        at = Reached(plane, kafka, NAME, NAMESPACE)
        with operating(tmp_path, plane, kafka, as_=account, **at.settings) as operator:
            plane.apply(affiliate("righted"))
            ready(plane, "righted")
            plane.apply(pipeline("out", "trackmate-righted"))
            wait_for(lambda: plane.read("pipeline", "out", "-n", "trackmate-righted"))
            where = ("-n", NAMESPACE)
            widened = {"spec": {"config": {"retention.bytes": "1"}}}
            for kind, patch in (("kafkatopic", widened), ("kafkauser", _WIDENED)):
                name = {"kafkatopic": "righted.events", "kafkauser": "righted-ingest"}[kind]
                mended = len(operator.said("mended"))
                plane.kubectl("patch", kind, name, *where, "--type=merge", "-p", json.dumps(patch))
                wait_until(
                    lambda before=mended: len(operator.said("mended")) > before,  # type: ignore[misc]
                    f"{kind} is mended",
                )
            plane.kubectl("delete", "pipeline", "out", "-n", "trackmate-righted")
            plane.kubectl("delete", "affiliate", "righted", "--timeout=60s")
        assert not refused(plane)
        allowed = set.union(*given(RBAC_STRIMZI).values())
        unused = allowed - used(plane) - _NOT_SHOWN
        assert not unused, "\n".join(map(str, sorted(unused)))


_WIDENED = {"spec": {"quotas": {"producerByteRate": 1, "requestPercentage": 50}}}
_NOT_SHOWN: set[Use] = {
    ("kafka.strimzi.io", kind, "create") for kind in ("kafkatopics", "kafkausers")
}
"""Apply asks for it, and the log shows `patch`."""
