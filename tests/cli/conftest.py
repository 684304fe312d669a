"""
What the commands say of a running instance, they say on both backbones: tests that take
`start_anywhere` are run on the embedded log and on Kafka.
"""

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kafka_broker import Cluster, kafka_brokers
from running import Dev


@pytest.fixture(autouse=True)
def without_a_kubeconfig(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of whoever runs the tests is nobody's business here."""
    monkeypatch.setenv("KUBECONFIG", os.devnull)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with kafka_brokers() as cluster:
        yield cluster


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.needs("kafka"))])
def start_anywhere(
    request: pytest.FixtureRequest, start_dev: Callable[..., Dev]
) -> Iterator[Callable[..., Dev]]:
    """As `start_dev`, with an empty Kafka in the embedded log's place or without."""
    if request.param == "embedded":
        yield start_dev
        return
    cluster: Cluster = request.getfixturevalue("cluster")  # only here is a broker started
    started: list[Dev] = []

    def begin(*arguments: str, **more: Any) -> Dev:
        started.append(start_dev("--kafka", cluster.bootstrap, *arguments, **more))
        return started[-1]

    yield begin
    for dev in started:
        if dev.process.poll() is None:
            dev.stop()  # a member that is killed is waited for by the next
    cluster.empty()
