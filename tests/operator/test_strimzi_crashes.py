"""
The operator dies between any two of its steps beside Strimzi, and again: the end is the same as if
it never had, and no data is lost on the way.
"""

import asyncio
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from control_plane import ControlPlane, control_plane
from kafka_broker import Cluster
from looking_on import Died, Fuse, deaths, looking_on, made
from operating import SYSTEM, topics, users
from strimzi_kafka import InKafka
from strimzi_standin import NAME, NAMESPACE, strimzi

pytestmark = [pytest.mark.needs("cluster"), pytest.mark.needs("kafka"), pytest.mark.timeout(500)]

NEVER_S = 1e9
STREAMS = [{"name": "events", "partitions": 1}]
SETTING = {"cluster": NAME, "namespace": NAMESPACE}


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


def test_the_end_is_the_same_wherever_it_died(
    plane: ControlPlane, kafka: Cluster, tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with looking_on(tmp_path, plane, kafka, strimzi=SETTING) as looking:

            async def make(name: str, fuse: Fuse) -> None:
                await made(looking, plane, name, fuse, streams=STREAMS)

            await make("undisturbed", Fuse())
            wanted = everything(plane, kafka, "undisturbed")
            died = 0
            async for name in deaths(make, "died"):
                died += 1
                with suppress(Died):  # and soon again
                    await looking.look(name, Fuse(1))
                await looking.look(name)
                assert everything(plane, kafka, name) == wanted, name
            assert died > 20
            rest = Fuse()
            await looking.look("died-00", rest)
            assert rest.taken == 0, "what is as it is to be is not written again"

    asyncio.run(scenario())


def test_a_topic_that_was_being_let_go_of_is_taken_up_again_wherever_it_died(
    plane: ControlPlane, kafka: Cluster, tmp_path: Path
) -> None:
    both = [*STREAMS, {"name": "images", "partitions": 1}]

    async def scenario() -> None:
        async with looking_on(tmp_path, plane, kafka, strimzi=SETTING) as looking:

            async def let_go(name: str, fuse: Fuse) -> None:
                await made(looking, plane, name, Fuse(), streams=both)
                await made(looking, plane, name, fuse, streams=STREAMS)

            died = 0
            async for name in deaths(let_go, "regretted"):
                died += 1
                await made(looking, plane, name, Fuse(), streams=both)
                found = plane.read("kafkatopic", f"{name}.images", "-n", NAMESPACE)
                assert "strimzi.io/managed" not in found["metadata"]["annotations"]
            assert died > 2

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

            async def delete(name: str, fuse: Fuse) -> None:
                await made(looking, plane, name, Fuse(), streams=STREAMS)
                ids_before[name] = ids(name)
                plane.kubectl("delete", "affiliate", name, "--wait=false")
                await looking.look(name, fuse)

            died = 0
            async for name in deaths(delete, "went"):
                died += 1
                await looking.look(name)
                assert plane.tried("get", "affiliate", name).returncode != 0
                assert not [user for user in users(kafka) if user.startswith(name)]
                assert ids(name) == ids_before[name]
            await made(looking, plane, "went-00", Fuse(), streams=STREAMS)
            assert ids("went-00") == ids_before["went-00"], "it is brought back"
            assert died > 8

    asyncio.run(scenario())
