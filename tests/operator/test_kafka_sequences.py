"""
Whatever was wanted before, in whatever order: what is there in the end is what the last of them
makes alone.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from kafka_broker import Cluster, kafka_brokers
from kafka_operating import Watched, access, standing, wanted
from trackmate_operator.kafka.admin import Admin
from trackmate_operator.plan.kafka import Wanted

pytestmark = [pytest.mark.needs("kafka"), pytest.mark.timeout(300)]

NAME, ID = "acme", "af-1042"


class Want(NamedTuple):
    """What of an affiliate may change from one time to the next; partitions only grow."""

    streams: frozenset[str]
    pipelines: frozenset[tuple[str, str]]
    produce_bytes: int | None
    retention_ms: int

    def wanted(self) -> Wanted:
        return wanted(
            NAME,
            dict.fromkeys(sorted(self.streams), 1),
            dict(sorted(self.pipelines)),
            produce_bytes=self.produce_bytes,
            retention_ms=str(self.retention_ms),
        )


WANTS = some.builds(
    Want,
    some.frozensets(some.sampled_from(("events", "more"))),
    some.dictionaries(
        some.sampled_from(("crm", "bi", "ads")), some.sampled_from(("events", "more"))
    ).map(lambda found: frozenset(found.items())),
    some.sampled_from((None, 1000, 2000)),
    some.sampled_from((3600000, 7200000)),
)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with kafka_brokers(secured=True) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("operator")


@settings(max_examples=12, deadline=None)
@given(wants=some.lists(WANTS, min_size=2, max_size=4))
def test_the_last_alone_decides(cluster: Cluster, folder: Path, wants: list[Want]) -> None:
    async def run() -> tuple[Any, Any]:
        admin = Admin(access(cluster, folder))
        try:
            after = await left_by(admin, [want.wanted() for want in wants])
            return after, await left_by(admin, [wants[-1].wanted()])
        finally:
            await admin.close()

    after, alone = asyncio.run(run())
    assert after == alone


async def left_by(admin: Admin, wants: list[Wanted]) -> dict[str, Any]:
    """Users, and the topics of the last; those of the others stay, with their data."""
    direct = Watched(admin).direct()
    held: dict[str, str] = {}
    for what in wants:
        kept = await direct.keep(NAME, ID, what, held)
        assert (kept.faults, kept.awaited) == ({}, {})
        held = {**kept.passwords}
    found = await standing(admin, NAME, [topic.name for topic in wants[-1].topics])
    await direct.revoke(NAME)
    await direct.drop(NAME, [topic.name for what in wants for topic in what.topics])
    return found
