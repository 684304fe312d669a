"""`make cluster` says what it did and what is next, takes what is there, and ends what it began."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import cluster_keeper
import make_cluster
from cluster_access import Cluster
from cluster_binaries import binaries


def make(home: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What the Makefile runs, with another folder in the place of `.cluster/`."""
    return subprocess.run(
        [sys.executable, make_cluster.__file__, *arguments, "--home", str(home)],
        capture_output=True,
        text=True,
        check=False,
        cwd=home.parent,
        env={**os.environ, **environment},
    )


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / ".cluster"
    cluster_keeper.end(tmp_path / ".cluster")


@pytest.mark.needs("cluster")
def test_it_runs_until_it_is_ended(home: Path) -> None:
    first = make(home, "up")
    assert first.stdout.startswith("Running, with the CRDs: .cluster/kubectl get affiliates\n")
    keeper = cluster_keeper.keeper(home)

    again = make(home, "up")

    assert again.stdout.startswith("Running already")
    assert cluster_keeper.keeper(home) == keeper is not None
    shown = subprocess.run(
        [f"{home}/kubectl", "get", "affiliates"],
        capture_output=True,
        text=True,
        check=True,
        cwd=home.parent,
        env={"KUBECONFIG": "/nowhere"},
    )
    assert shown.stderr == "No resources found\n"
    assert (
        "There is a cluster already, of the provider local"
        in make(home, "up", "--provider", "existing").stderr
    )
    assert make(home, "down").stdout == "Stopped.\n"
    assert cluster_keeper.keeper(home) is None
    assert list(home.parent.iterdir()) == [], "something was left"
    assert make(home, "down").stdout == "There is no cluster.\n"


@pytest.mark.needs("cluster")
def test_one_that_exists_gets_the_crds_and_stays(home: Path, cluster: Cluster) -> None:
    theirs = {
        "KUBECONFIG": str(cluster.kubeconfig),
        "PATH": f"{binaries()}:{os.environ['PATH']}",
    }

    made = make(home, "up", "--provider", "existing", **theirs)

    assert made.returncode == 0, made.stderr
    named = subprocess.run(
        [f"{home}/kubectl", "get", "crds", "-o", "name"], capture_output=True, text=True, check=True
    )
    assert "affiliates.trackmate.io" in named.stdout
    assert make(home, "down").stdout == "Forgotten; it is as it was, and has the CRDs.\n"
    assert "affiliates.trackmate.io" in cluster.kubectl("get", "crds", "-o", "name")


@pytest.mark.parametrize(
    ("arguments", "lacking"),
    [
        (["up"], "There is no Go to build Kubernetes with; install 1.26 or newer from https://"),
        (["up", "--provider", "kind"], "There is no kubectl in the PATH, which this provider"),
        (["up", "--provider", "existing"], "There is no kubectl in the PATH, which this provider"),
    ],
)
def test_what_is_lacking_is_said(home: Path, arguments: list[str], lacking: str) -> None:
    said = make(home, *arguments, PATH="/nowhere", TRACKMATE_CACHE=str(home.parent))

    assert said.returncode == 1
    assert said.stderr.startswith(lacking)
