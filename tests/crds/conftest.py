"""
The run's API server, and a namespace of this process for the Pipelines that it is asked about.
"""

import os
from collections.abc import Iterator

import pytest

from admission import Admission
from cluster_access import Cluster


@pytest.fixture(scope="session")
def admission(cluster: Cluster) -> Iterator[Admission]:
    namespace = f"crds-{os.getpid()}"
    cluster.kubectl("create", "namespace", namespace)
    with cluster.http() as client:
        client.headers["content-type"] = "application/json"
        yield Admission(client, namespace)
