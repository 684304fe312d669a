"""
An operator that is ended after any of its writes to Kafka, and again in the next pass: what is
there in the end is what an undisturbed pass leaves, to the last right.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from kafka_broker import Cluster, kafka_brokers
from kafka_operating import Watched, access, standing, wanted
from trackmate_operator.kafka.admin import Admin

pytestmark = [pytest.mark.needs("kafka"), pytest.mark.timeout(300)]

NAME, ID = "acme", "af-1042"
BEFORE = wanted(NAME, {"events": 1}, {"crm": "events", "gone": "events"}, retention_ms="3600000")
AFTER = wanted(
    NAME,
    {"events": 2, "more": 1},
    {"crm": "more", "new": "events"},
    produce_bytes=2000,
    retention_ms="7200000",
)
TOPICS = sorted({topic.name for one in (BEFORE, AFTER) for topic in one.topics})


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with kafka_brokers(secured=True) as cluster:
        yield cluster


@pytest.mark.parametrize("once_sent", [False, True], ids=["after a write", "in a write"])
def test_a_crash_anywhere_leaves_nothing_that_the_next_pass_does_not_mend(
    cluster: Cluster, tmp_path: Path, *, once_sent: bool
) -> None:
    async def run() -> int:
        admin = Admin(access(cluster, tmp_path))
        whole, writes = await undisturbed(admin)
        for first, second in product(range(1, writes + 1), (1, 2)):
            await begun(admin)
            await cut_off(admin, first, once_sent=once_sent)
            await cut_off(admin, second, once_sent=once_sent)
            kept = await Watched(admin).direct().keep(NAME, ID, AFTER, {})
            assert (kept.faults, kept.awaited) == ({}, {})
            assert await standing(admin, NAME, TOPICS) == whole
        await cleaned(admin)
        await admin.close()
        return writes

    assert asyncio.run(run()) > 5, "there are writes to be cut off after"


def test_a_crash_while_users_are_revoked_leaves_no_credentials(
    cluster: Cluster, tmp_path: Path
) -> None:
    async def run() -> None:
        admin = Admin(access(cluster, tmp_path))
        for cut in range(1, 8):
            await begun(admin)
            watched = Watched(admin, cut)
            with contextlib.suppress(asyncio.CancelledError):
                await watched.direct().revoke(NAME)
            assert len(watched.wrote) == cut, "it was cut"
            await Watched(admin).direct().revoke(NAME)
            found = await standing(admin, NAME, [])
            assert found == {"passwords": {}, "acls": [], "quotas": {}, "topics": {}}
        await cleaned(admin)
        await admin.close()

    asyncio.run(run())


async def undisturbed(admin: Admin) -> tuple[dict[str, Any], int]:
    """What a pass leaves, and by how many writes."""
    await begun(admin)
    watched = Watched(admin)
    await watched.direct().keep(NAME, ID, AFTER, {})
    return await standing(admin, NAME, TOPICS), len(watched.wrote)


async def cut_off(admin: Admin, after: int, *, once_sent: bool) -> None:
    """A pass that ends after so many writes, or at its end where it makes fewer."""
    watched = Watched(admin, after, once_sent=once_sent)
    with contextlib.suppress(asyncio.CancelledError):
        await watched.direct().keep(NAME, ID, AFTER, {})
    assert watched.wrote, "passwords at least are written as long as no Secret holds them"


async def begun(admin: Admin) -> None:
    await cleaned(admin)
    await Watched(admin).direct().keep(NAME, ID, BEFORE, {})


async def cleaned(admin: Admin) -> None:
    direct = Watched(admin).direct()
    await direct.revoke(NAME)
    await direct.drop(NAME, TOPICS)
