"""
`trackmate-operator --check`, and how it refuses to begin: a sentence with the value and the cure.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from control_plane import ControlPlane, control_plane
from kafka_broker import Cluster
from operating import PROGRAM, settings

pytestmark = [pytest.mark.needs("cluster"), pytest.mark.needs("kafka")]


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    with control_plane() as plane:
        yield plane


def check(file: Path, plane: ControlPlane) -> tuple[int, str]:
    done = subprocess.run(
        [PROGRAM, "--settings", str(file), "--check"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "KUBECONFIG": str(plane.kubeconfig)},
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout + done.stderr


WATCHING = """
import asyncio
from trackmate_operator.seen import Seen
from trackmate_operator.watching import Watches

async def main():
    begun, stopping = asyncio.Event(), asyncio.Event()
    watches = Watches(Seen("{affiliate}.x"), lambda _: None, lambda _: None, strimzi=False)
    print(await watches.run(begun=begun, stopping=stopping), begun.is_set())

asyncio.run(main())
"""


def test_what_is_not_served_ends_the_watches_with_a_sentence(plane: ControlPlane) -> None:
    """Else they would show nothing, for ever: it is served a moment after its CRD is there."""
    done = subprocess.run(  # a process of its own: kopf leaves its connections to the end of one
        [sys.executable, "-c", WATCHING],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "KUBECONFIG": str(plane.kubeconfig)},
    )
    assert done.stdout == "The API server does not serve affiliates.trackmate.io yet. False\n"


def test_missing_resources_are_said_and_then_all_is_right(
    plane: ControlPlane, kafka: Cluster, tmp_path: Path
) -> None:
    file = settings(tmp_path, kafka)
    code, said = check(file, plane)
    assert code == 1
    assert "The API server does not know affiliates.trackmate.io; apply the files in crds/" in said
    assert "pipelines.trackmate.io" in said
    plane.install_crds()
    code, said = check(file, plane)
    assert code == 0
    assert said.startswith("All is right: the settings, the API server with the custom resources")


def test_resources_that_are_older_than_the_operator_are_said(
    plane: ControlPlane, kafka: Cluster, tmp_path: Path
) -> None:
    """Else it would write what the API server drops, for ever."""
    plane.install_crds()
    crd = plane.read("crd", "affiliates.trackmate.io")
    older = json.loads(json.dumps(crd))
    schema = older["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    del schema["properties"]["status"]["properties"]["streams"]
    plane.kubectl("replace", "-f", "-", input=json.dumps(older))
    code, said = check(settings(tmp_path, kafka), plane)
    assert code == 1
    assert "The CRD affiliates.trackmate.io is older than this operator: its status lacks " in said
    assert "streams; apply the files in crds/ of this version" in said
    plane.install_crds()
    assert check(settings(tmp_path, kafka), plane)[0] == 0


def test_resources_that_are_there_and_not_served_are_said(
    plane: ControlPlane, kafka: Cluster, tmp_path: Path
) -> None:
    plane.install_crds()
    crd = plane.read("crd", "pipelines.trackmate.io")
    crd["spec"]["versions"][0]["served"] = False
    plane.kubectl("replace", "-f", "-", input=json.dumps(crd))
    code, said = check(settings(tmp_path, kafka), plane)
    assert code == 1
    assert "The CRD pipelines.trackmate.io does not serve v1alpha1; apply the files in" in said
    plane.install_crds()
    assert check(settings(tmp_path, kafka), plane)[0] == 0


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"hostTemplate": "track.example.com"}, "hostTemplate: 'track.example.com' is not"),
        (
            {"topics": {"replicas": 1, "minInsyncReplicas": 2}},
            "topics: minInsyncReplicas is 2 and replicas 1, so that nothing could be stored",
        ),
        ({"allowedNetworks": ["10.0.0.1/8"]}, "allowedNetworks[0]: '10.0.0.1/8' is not a network"),
        ({"stimzi": {}}, "stimzi: unknown field 'stimzi'; did you mean 'strimzi'?"),
        (
            {"kafka": {"bootstrapServers": "127.0.0.1:1"}},
            "127.0.0.1:1 cannot be reached",
        ),
    ],
)
def test_a_setting_that_is_wrong_is_said_with_its_cure(
    plane: ControlPlane, kafka: Cluster, tmp_path: Path, changed: dict[str, Any], sentence: str
) -> None:
    code, said = check(settings(tmp_path, kafka, **changed), plane)
    assert code == 1
    assert sentence in said


def test_a_root_secret_that_could_be_guessed_is_refused(
    plane: ControlPlane, kafka: Cluster, tmp_path: Path
) -> None:
    (tmp_path / "root").write_text("short")
    code, said = check(settings(tmp_path, kafka), plane)
    assert code == 1
    assert "has 5 bytes, which could be guessed; put 32 or more there" in said
    assert "short" not in said.replace("could", "")


def test_a_wrong_password_is_said_without_it(
    plane: ControlPlane, kafka: Cluster, tmp_path: Path
) -> None:
    file = settings(tmp_path, kafka)
    (tmp_path / "password").write_text("canary-of-a-password")
    code, said = check(file, plane)
    assert code == 1
    assert "Kafka does not take the user 'admin' with the password of" in said
    assert "canary" not in said


def test_an_api_server_that_is_away_is_said(kafka: Cluster, tmp_path: Path) -> None:
    with control_plane() as gone:
        kubeconfig = gone.kubeconfig.read_text()
    file = tmp_path / "kubeconfig"
    file.write_text(kubeconfig)
    done = subprocess.run(
        [PROGRAM, "--settings", str(settings(tmp_path, kafka)), "--check"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "KUBECONFIG": str(file)},
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "The API server cannot be reached" in done.stderr
