"""
The operator with Strimzi: it writes KafkaTopics and KafkaUsers on a real control plane, a stand-in
for Strimzi's operators makes of them what they say in a real Kafka, and whatever those say, or do
not say, stands in the status.
"""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from control_plane import ControlPlane, control_plane
from kafka_broker import Cluster, kafka_brokers
from mounting import consume, ingest, keys
from operating import SYSTEM, Operating, operating, ready, wait_for
from strimzi_standin import NAME, NAMESPACE, StandIn, strimzi
from tenants import affiliate, pipeline
from waiting_for import wait_until

pytestmark = [pytest.mark.needs("cluster"), pytest.mark.needs("kafka"), pytest.mark.timeout(240)]

SETTING = {"cluster": NAME, "namespace": NAMESPACE}


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    with control_plane() as plane:
        plane.install_crds()
        plane.kubectl("create", "namespace", SYSTEM)
        yield plane


@pytest.fixture(scope="module")
def kafka() -> Iterator[Cluster]:
    with kafka_brokers(secured=True) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def standin(plane: ControlPlane, kafka: Cluster) -> Iterator[StandIn]:
    with strimzi(plane, kafka) as found:
        yield found


@pytest.fixture(scope="module")
def operator(
    plane: ControlPlane,
    kafka: Cluster,
    standin: StandIn,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Operating]:
    home = tmp_path_factory.mktemp("operator")
    with operating(home, plane, kafka, strimzi=SETTING) as running:
        yield running


def test_one_apply_is_ready_and_both_programs_log_in_with_what_strimzi_made(
    plane: ControlPlane, kafka: Cluster, operator: Operating, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    where = "trackmate-way"
    plane.apply(affiliate("way", ingest={"keys": [{"name": "server", "use": "Server"}]}))
    ready(plane, "way")
    plane.apply(pipeline("to-files", where, sink={"files": {"path": str(out)}}, format="ndjson"))
    wait_for(lambda: plane.read("pipeline", "to-files", "-n", where))
    event = b'{"messageId":"m-1"}'

    with (
        ingest(plane, "way", tmp_path / "ingest") as url,
        consume(plane, "way", "to-files", tmp_path / "consume"),
    ):
        wait_until(
            lambda: httpx.get(f"{url}/readyz", trust_env=False).status_code == 200, "it is ready"
        )
        answer = httpx.post(
            f"{url}/v1/events",
            content=event,
            headers={
                "Authorization": f"Bearer {keys(plane, 'way')['server']}",
                "Content-Type": "application/json",
                "Host": "way.track.example.com",
            },
            trust_env=False,
        )
        assert answer.json() == {"status": "stored", "events": 1}
        wait_until(lambda: event in _written(out), "it is in the file", seconds=40)


def _written(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file())
