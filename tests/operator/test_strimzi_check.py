"""
What `--check` and the start say of a Strimzi that is not as the settings say.
"""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from control_plane import ControlPlane, control_plane
from kafka_broker import Cluster
from operating import PROGRAM, settings
from strimzi_kafka import InKafka
from strimzi_standin import NAME, NAMESPACE, install, make_kafka

pytestmark = [pytest.mark.needs("cluster"), pytest.mark.needs("kafka"), pytest.mark.timeout(120)]

SETTING = {"strimzi": {"cluster": NAME, "namespace": NAMESPACE}}


def told(
    home: Path, plane: ControlPlane, kafka: Cluster, *arguments: str, **more: Any
) -> tuple[int, str]:
    """Its exit code, and all it said."""
    file = settings(home, kafka, **more)
    done = subprocess.run(
        [PROGRAM, *arguments, "--settings", str(file)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "KUBECONFIG": str(plane.kubeconfig)},
    )
    return done.returncode, done.stdout + done.stderr


def test_what_is_missing_is_told_until_nothing_is(kafka: Cluster, tmp_path: Path) -> None:
    with control_plane() as plane:
        plane.install_crds()
        code, said = told(tmp_path, plane, kafka, "--check", **SETTING)
        assert code != 0
        for plural in ("kafkas", "kafkatopics", "kafkausers"):
            assert f"The API server does not know {plural}.kafka.strimzi.io in version v1" in said

        install(plane)
        code, said = told(tmp_path, plane, kafka, "--check", **SETTING)
        assert code != 0
        assert "There is no Kafka 'events' in namespace kafka; apply it" in said

        make_kafka(plane, "another-cluster")
        without = '[{"op":"remove","path":"/spec/entityOperator/userOperator"}]'
        plane.kubectl("patch", "kafka", NAME, "-n", NAMESPACE, "--type=json", "-p", without)
        code, said = told(tmp_path, plane, kafka, "--check", **SETTING)
        assert code != 0
        assert "has nobody who makes users; add spec.entityOperator.userOperator to it" in said

        make_kafka(plane, "another-cluster")
        code, said = told(tmp_path, plane, kafka, "--check", **SETTING)
        assert code != 0
        assert (
            "and Kafka 'events' in namespace kafka is 'another-cluster'; name the servers" in said
        )

        make_kafka(plane, InKafka(kafka).cluster_id())
        assert told(tmp_path, plane, kafka, "--check", **SETTING)[0] == 0

        code, said = told(tmp_path, plane, kafka)  # it makes users itself, and does not start
        assert code != 0
        assert "Strimzi's User Operator of kafka/events works on this Kafka" in said
