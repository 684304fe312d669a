"""
The Kubernetes that tests run on: real, everybody's own when it has to be, and gone with the run.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import cluster_keeper
from cluster_access import Cluster
from cluster_binaries import version
from control_plane import ControlPlane, control_plane
from processes import children, runs
from waiting_for import wait_until

pytestmark = pytest.mark.needs("cluster")


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    with control_plane(audited=True) as plane:
        yield plane


def test_it_is_of_the_version_that_is_pinned(plane: ControlPlane) -> None:
    said = plane.kubectl("version")

    assert f"Client Version: {version()}" in said
    assert f"Server Version: {version()}" in said


def test_controllers_make_what_belongs_to_a_namespace(plane: ControlPlane) -> None:
    plane.kubectl("create", "namespace", "acme")

    wait_until(
        lambda: plane.tried("get", "configmap/kube-root-ca.crt", "-n", "acme").returncode == 0,
        "the authority is in the namespace",
    )


def test_what_an_owner_owned_goes_with_it(plane: ControlPlane) -> None:
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owner"}}
    plane.apply(owner)
    uid = plane.read("configmap/owner")["metadata"]["uid"]
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid}
    owned = {**owner, "metadata": {"name": "owned", "ownerReferences": [reference]}}
    plane.apply(owned)

    plane.kubectl("delete", "configmap/owner")

    wait_until(
        lambda: plane.tried("get", "configmap/owned").returncode != 0, "the owned one is deleted"
    )


def test_a_user_may_do_what_rbac_says(plane: ControlPlane) -> None:
    analyst = plane.user("ann", ["acme-analysts"])
    assert 'User "ann" cannot list' in plane.refused("get", "configmaps", as_=analyst)

    plane.kubectl("create", "rolebinding", "see", "--clusterrole=view", "--group=acme-analysts")

    assert "kube-root-ca.crt" in plane.kubectl("get", "configmaps", as_=analyst)
    assert "forbidden" in plane.refused("get", "secrets", as_=analyst)


def test_a_service_account_logs_in_with_a_token(plane: ControlPlane) -> None:
    plane.kubectl("create", "serviceaccount", "robot")

    said = plane.kubectl("auth", "whoami", as_=plane.service_account("default", "robot"))

    assert "system:serviceaccount:default:robot" in said


def test_the_audit_log_says_who_asked_for_what(plane: ControlPlane) -> None:
    plane.refused("get", "pods", as_=plane.user("eve"))

    assert '"username":"eve"' in (plane.home / "audit.log").read_text("utf-8")


def test_the_api_server_comes_back_with_what_it_knew(plane: ControlPlane) -> None:
    plane.kubectl("create", "configmap", "kept")
    plane.stop_apiserver()
    with plane.http() as client, pytest.raises(httpx.ConnectError):
        client.get("/readyz")

    plane.start_apiserver()

    assert "kept" in plane.kubectl("get", "configmaps")


def test_a_frozen_api_server_says_nothing_until_it_is_thawed(plane: ControlPlane) -> None:
    plane.freeze()
    with plane.http() as client, pytest.raises(httpx.TimeoutException):
        client.get("/readyz", timeout=0.5)

    plane.thaw()

    with plane.http() as client:
        assert client.get("/readyz").status_code == 200


def test_the_run_has_one_that_all_its_processes_share(cluster: Cluster) -> None:
    pid = cluster_keeper.keeper(cluster.home)

    assert cluster_keeper.keep(cluster.home) == cluster
    assert cluster_keeper.keeper(cluster.home) == pid is not None
    assert "affiliates.trackmate.io" in cluster.kubectl("get", "crds")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    cluster_keeper.end(tmp_path)


KEPT = """
import os, sys, cluster_keeper
from pathlib import Path
cluster_keeper.keep(Path(sys.argv[1]), os.getpid())
os.kill(os.getpid(), 9)
"""


def test_it_ends_with_whoever_asked_for_it_even_when_that_is_killed(home: Path) -> None:
    harness = Path(cluster_keeper.__file__).parent

    killed = subprocess.run([sys.executable, "-c", KEPT, str(home)], cwd=harness, check=False)

    assert killed.returncode == -signal.SIGKILL
    assert (home / "kubeconfig").exists()
    wait_until(lambda: cluster_keeper.keeper(home) is None, "the control plane ends")


def test_its_processes_end_with_their_keeper_even_when_that_is_killed(home: Path) -> None:
    cluster_keeper.keep(home)
    pid = cluster_keeper.keeper(home)
    assert pid
    kept = children(pid)
    assert len(kept) == 4

    os.kill(pid, signal.SIGKILL)

    wait_until(lambda: not any(map(runs, kept)), "the processes end")
    assert cluster_keeper.keeper(home) is None
    assert "affiliates" in cluster_keeper.keep(home).kubectl("api-resources")
