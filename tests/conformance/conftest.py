"""
Every claim of this folder is made twice: of the embedded log, and of Kafka in its place.
"""

from collections.abc import Iterator

import pytest

from kafka_broker import kafka_brokers
from running import ACME, Dev, serving

Arguments = tuple[str, ...]
"""What `trackmate dev` is started with."""


@pytest.fixture(
    scope="module",
    params=["embedded", pytest.param("kafka", marks=pytest.mark.needs("kafka"))],
)
def backbone(request: pytest.FixtureRequest) -> Iterator[Arguments]:
    """Where the events are: one broker of the module's own, or the affiliates' files."""
    if request.param == "embedded":
        yield ()
        return
    with kafka_brokers() as cluster:
        yield ("--kafka", cluster.bootstrap)


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory, backbone: Arguments) -> Iterator[Dev]:
    """One instance that a module's tests share: each finds its own events by their ids."""
    with serving(tmp_path_factory.mktemp("shared"), ACME, arguments=backbone) as running:
        yield running
