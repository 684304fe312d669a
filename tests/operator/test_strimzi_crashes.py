"""
The operator dies between any two of its steps beside Strimzi, and again: the end is the same as if
it never had, and no data is lost on the way.
"""

import asyncio
import json
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from control_plane import ControlPlane, control_plane
from kafka_broker import Cluster, kafka_brokers
from looking_on import Died, Fuse, LookingOn, looking_on
from operating import SYSTEM, topics, users
from strimzi_kafka import InKafka
from strimzi_standin import NAME, NAMESPACE, strimzi
from tenants import affiliate, pipeline

pytestmark = [pytest.mark.needs("cluster"), pytest.mark.needs("kafka"), pytest.mark.timeout(500)]

NEVER_S = 1e9
SETTING = {"cluster": NAME, "namespace": NAMESPACE}


@pytest.fixture(scope="module")
def kafka() -> Iterator[Cluster]:
    with kafka_brokers(secured=True) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def plane(kafka: Cluster) -> Iterator[ControlPlane]:
    with control_plane() as plane:
        plane.install_crds()
        plane.kubectl("create", "namespace", SYSTEM)
        with strimzi(plane, kafka) as standin:
            standin.topics.full_pass_s = standin.users.full_pass_s = NEVER_S  # of so many
            yield plane


def everything(plane: ControlPlane, kafka: Cluster, name: str) -> Any:
    """All that an affiliate has beside Kafka and in it, with its name taken out."""

    def plain(value: object) -> str:
        return json.dumps(value, sort_keys=True).replace(name, "NAME")

    resources = plane.read(
        "kafkatopic,kafkauser", "-n", NAMESPACE, f"-ltrackmate.io/affiliate={name}"
    )
    own = plane.read("secret,configmap", "-n", f"trackmate-{name}")["items"]
    return (
        sorted(
            plain([one["kind"], one["metadata"]["name"], one["spec"]]) for one in resources["items"]
        ),
        sorted(plain([one["kind"], one["metadata"]["name"]]) for one in own),
        sorted(plain(user) for user in users(kafka) if user.startswith(name)),
        sorted(plain(str(acl)) for acl in InKafka(kafka).acls() if f":{name}" in acl.principal),
        sorted(plain(topic) for topic in topics(kafka) if topic.startswith(f"{name}.")),
    )


async def made(looking: LookingOn, plane: ControlPlane, name: str, fuse: Fuse) -> None:
    """Declared, and looked at until the fuse blows."""
    namespace = {"name": f"trackmate-{name}", "labels": {"trackmate.io/affiliate": name}}
    plane.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": namespace},
        affiliate(name, id=f"af-{name}", streams=[{"name": "events", "partitions": 1}]),
        pipeline("out", f"trackmate-{name}"),
    )
    await looking.look(name, fuse)


def test_the_end_is_the_same_wherever_it_died(
    plane: ControlPlane, kafka: Cluster, tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with looking_on(tmp_path, plane, kafka, strimzi=SETTING) as looking:
            whole = Fuse()
            await made(looking, plane, "undisturbed", whole)
            wanted = everything(plane, kafka, "undisturbed")
            for steps in range(whole.taken):
                name = f"died-{steps:02}"
                try:
                    await made(looking, plane, name, Fuse(steps))
                except Died:
                    with suppress(Died):  # and soon again
                        await looking.look(name, Fuse(1))
                await looking.look(name)
                assert everything(plane, kafka, name) == wanted, steps
            rest = Fuse()
            await looking.look("died-00", rest)
            assert rest.taken == 0, "what is as it is to be is not written again"

    asyncio.run(scenario())


def test_no_data_goes_and_nobody_is_left_behind_wherever_it_died_while_it_deleted(
    plane: ControlPlane, kafka: Cluster, tmp_path: Path
) -> None:
    async def scenario() -> None:
        in_kafka = InKafka(kafka)
        ids_before: dict[str, list[str]] = {}

        def ids(name: str) -> list[str]:
            found = [in_kafka.topic(f"{name}.{one}") for one in ("events", "out.dead")]
            return [one.id for one in found if one]

        async with looking_on(tmp_path, plane, kafka, strimzi=SETTING) as looking:
            for steps in count():
                name = f"went-{steps:02}"
                await made(looking, plane, name, Fuse())
                ids_before[name] = ids(name)
                plane.kubectl("delete", "affiliate", name, "--wait=false")
                try:
                    await looking.look(name, Fuse(steps))
                except Died:
                    await looking.look(name)
                else:
                    break
                assert plane.tried("get", "affiliate", name).returncode != 0
                assert not [user for user in users(kafka) if user.startswith(name)]
                assert ids(name) == ids_before[name]
            await made(looking, plane, "went-00", Fuse())
            assert ids("went-00") == ids_before["went-00"], "it is brought back"
            assert steps > 8

    asyncio.run(scenario())
