"""
The operator dies between any two of its steps, and again: the end is the same as if it never had.
"""

import asyncio
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from control_plane import ControlPlane
from kafka_broker import Cluster
from looking_on import Died, Fuse, deaths, looking_on, made
from mounting import keys
from operating import topics, users
from trackmate_operator.kafka.admin import Admin

pytestmark = [pytest.mark.needs("cluster"), pytest.mark.needs("kafka"), pytest.mark.timeout(400)]

KINDS = "secret,configmap,networkpolicy,resourcequota,limitrange,role,rolebinding,pipeline"
SPEC = {
    "streams": [{"name": "events", "partitions": 1}],
    "access": [{"role": "Viewer", "subjects": [{"kind": "Group", "name": "g"}]}],
}


async def everything(plane: ControlPlane, kafka: Cluster, admin: Admin, name: str) -> Any:
    """All that an affiliate has, with what is its own name, id or time taken out."""

    def plain(text: str) -> str:
        return text.replace(name, "NAME")

    objects = []
    for one in plane.read(KINDS, "-n", f"trackmate-{name}")["items"]:
        metadata = one["metadata"]
        body = {key: one.get(key) for key in ("spec", "data", "rules", "subjects", "type")}
        if one["kind"] == "Secret":  # values differ by the id
            body["data"] = sorted(one["data"])
        if metadata["name"] != "kube-root-ca.crt":
            objects.append(plain(json.dumps([one["kind"], metadata["name"], body], sort_keys=True)))
    ours = sorted(user for user in users(kafka) if user.startswith(name))
    acls = sorted([plain(str(acl)) for user in ours for acl in await admin.acls(user)])
    quotas = sorted([plain(str(await admin.quotas(user))) for user in ours])
    mine = sorted(plain(topic) for topic in topics(kafka) if topic.startswith(f"{name}."))
    return sorted(objects), [plain(user) for user in ours], acls, quotas, mine


def test_the_end_is_the_same_wherever_it_died(
    plane: ControlPlane, kafka: Cluster, tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with looking_on(tmp_path, plane, kafka) as looking:

            async def make(name: str, fuse: Fuse) -> None:
                await made(looking, plane, name, fuse, **SPEC)

            await make("undisturbed", Fuse())
            wanted = await everything(plane, kafka, looking.admin, "undisturbed")
            died = 0
            async for name in deaths(make, "died"):
                died += 1
                with suppress(Died):  # and soon again
                    await looking.look(name, Fuse(1))
                await looking.look(name)
                assert await everything(plane, kafka, looking.admin, name) == wanted, name
            assert died > 20
            rest = Fuse()
            await looking.look("died-00", rest)
            assert rest.taken == 0, "what is as it is to be is not written again"

    asyncio.run(scenario())


def test_nobody_is_left_behind_wherever_it_died_while_it_deleted(
    plane: ControlPlane, kafka: Cluster, tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with looking_on(tmp_path, plane, kafka) as looking:
            before: dict[str, dict[str, str]] = {}

            async def delete(name: str, fuse: Fuse) -> None:
                await made(looking, plane, name, Fuse(), **SPEC)
                before[name] = keys(plane, name)
                plane.kubectl("delete", "affiliate", name, "--wait=false")
                await looking.look(name, fuse)

            died = 0
            async for name in deaths(delete, "went"):
                died += 1
                await looking.look(name)
                assert plane.tried("get", "affiliate", name).returncode != 0
                assert not [user for user in users(kafka) if user.startswith(name)]
                assert not [acl for acl in await looking.admin.acls(None) if name in str(acl)]
                assert {f"{name}.events", f"{name}.out.dead"} <= topics(kafka)
                assert keys(plane, name) == before[name]
            assert died > 8

    asyncio.run(scenario())
