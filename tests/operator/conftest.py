"""
A control plane with the custom resources, a Kafka that asks for credentials, and a folder: of each
module its own, as an operator sees everything that is in them.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from control_plane import ControlPlane, control_plane
from kafka_broker import Cluster, kafka_brokers
from operating import SYSTEM


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    with control_plane(audited=True) as plane:
        plane.install_crds()
        plane.kubectl("create", "namespace", SYSTEM)
        yield plane


@pytest.fixture(scope="module")
def kafka() -> Iterator[Cluster]:
    with kafka_brokers(secured=True) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the operator: its settings, and a root secret that lives through restarts."""
    return tmp_path_factory.mktemp("operator")
