"""
`make verify-strimzi` asks the cluster that it is told, and takes away what it made. Here that is a
control plane of this test, with the stand-in.
"""

import os
import subprocess
from pathlib import Path

import pytest

from control_plane import control_plane
from kafka_broker import ADMIN, PASSWORD, kafka_brokers
from operating import topics, users
from strimzi_standin import NAMESPACE, strimzi

pytestmark = [pytest.mark.needs("cluster"), pytest.mark.needs("kafka"), pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
AS_IT_IS = ("-o", "setup")  # what is installed is being used
SOME = "test_a_topic_is_made or test_data_is_removed or test_a_deleted_affiliate"


def make(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *AS_IT_IS, "verify-strimzi", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTEST_ADDOPTS": f"-x -k '{SOME}'", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_suites_ask_the_cluster_that_is_named_and_clean_up() -> None:
    with control_plane() as plane, kafka_brokers(secured=True) as kafka, strimzi(plane, kafka):
        context = plane.kubectl("config", "current-context").strip()

        done = make(
            {"KUBECONFIG": str(plane.kubeconfig)},
            *(f"CONTEXT={context}", f"BOOTSTRAP={kafka.bootstrap}"),
            *(f"USERNAME={ADMIN}", f"PASSWORD={PASSWORD}"),
        )

        assert done.returncode == 0, done.stdout + done.stderr
        assert "3 passed" in done.stdout
        assert PASSWORD not in done.stdout + done.stderr
        left = plane.read("kafkatopic,kafkauser", "-n", NAMESPACE)["items"]
        assert [one["metadata"]["name"] for one in left] == []
        assert users(kafka) == {ADMIN}
        assert {one for one in topics(kafka) if one[0] != "_"} == {"trackmate.registry"}
        assert plane.read("affiliates")["items"] == []


def test_without_a_context_it_says_how_to_name_one() -> None:
    done = make({})
    assert done.returncode != 0
    assert "make verify-strimzi CONTEXT=… BOOTSTRAP=HOST:PORT" in done.stdout
