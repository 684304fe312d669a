"""
Asking the API server: with what whoever asks has now, and by the proxy that the environment names.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from cluster_access import Cluster as Plane
from trackmate_operator.cluster import Cluster, Stranger, Unanswered
from trackmate_operator.kinds import NAMESPACE, Ref
from waiting_for import wait_until

pytestmark = [pytest.mark.needs("cluster"), pytest.mark.timeout(120)]

DEFAULT = Ref(NAMESPACE, "default")


def asking(work: Callable[[Cluster], Awaitable[Any]]) -> Any:
    async def whole() -> Any:
        cluster = await Cluster.reached()
        try:
            return await work(cluster)
        finally:
            await cluster.close()

    return asyncio.run(whole())


@pytest.fixture
def account(cluster: Plane) -> str:
    """A service account's name, that may read all."""
    name = f"reader-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "serviceaccount", name, "-n", "default")
    cluster.kubectl(
        *("create", "clusterrolebinding", name, "--clusterrole=view"),
        f"--serviceaccount=default:{name}",
    )
    cluster.kubectl(
        *("create", "clusterrole", name, "--verb=get", "--resource=namespaces"),
    )
    cluster.kubectl(
        *("create", "clusterrolebinding", f"{name}-namespaces", f"--clusterrole={name}"),
        f"--serviceaccount=default:{name}",
    )
    return name


def is_known(cluster: Plane, kubeconfig: Path) -> bool:
    asked = ("get", "--raw", "/api/v1/namespaces/default")
    return "Unauthorized" not in cluster.tried(*asked, as_=kubeconfig).stderr


def test_a_token_that_was_renewed_in_its_file_is_taken(
    cluster: Plane, account: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pod's token lasts an hour, and the kubelet writes the next into the same file."""
    file = tmp_path / "kubeconfig"
    file.write_bytes(cluster.service_account("default", account).read_bytes())
    monkeypatch.setenv("KUBECONFIG", str(file))

    async def twice(asks: Cluster) -> Any:
        assert await asks.get(DEFAULT)
        cluster.kubectl("delete", "serviceaccount", account, "-n", "default")
        wait_until(lambda: not is_known(cluster, file), "the token is void", seconds=60)
        with pytest.raises(Stranger):
            await asks.get(DEFAULT)
        cluster.kubectl("create", "serviceaccount", account, "-n", "default")
        file.write_bytes(cluster.service_account("default", account).read_bytes())
        return await asyncio.gather(*(asks.get(DEFAULT) for _ in range(20)))

    assert all(found["metadata"]["name"] == "default" for found in asking(twice))


def test_the_proxy_of_the_environment_is_taken_unless_it_is_excepted(
    cluster: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))

    async def through_nothing(asks: Cluster) -> Any:
        monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        with pytest.raises(Unanswered, match=r"127\.0\.0\.1:9"):
            await asks.get(DEFAULT)

    async def past_it(asks: Cluster) -> Any:
        monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        return await asks.get(DEFAULT)

    asking(through_nothing)
    monkeypatch.delenv("https_proxy")
    assert asking(past_it)
