"""
A full disk: the answer is 503 while it lasts, nothing is half stored, and when there is room again
all goes on by itself.
"""

import asyncio
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from random import randrange

import httpx
import pytest

import oracle
from loopback import LOOPBACK
from mix import mix
from running import Dev
from traffic import Attempt, Ledger, Load, Outcome

StartDev = Callable[..., Dev]

SEED = int(os.environ.get("TRACKMATE_SEED", str(randrange(10**6))))
CONNECTIONS = 8
DISK_BYTES = 16 << 20
ROOM_BYTES = 2 << 20

pytestmark = pytest.mark.needs("mount")


@pytest.fixture
def ballast(tmp_path: Path) -> Iterator[Path]:
    """A file that leaves little room on the small disk where the instance keeps its data."""
    data = tmp_path / ".trackmate" / "data"
    data.mkdir(parents=True)
    small = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(data)]
    subprocess.run(small, check=True)
    file = data / "ballast"
    with file.open("wb") as writing:
        os.posix_fallocate(writing.fileno(), 0, DISK_BYTES - ROOM_BYTES)
    yield file
    subprocess.run(["umount", "--lazy", str(data)], check=True)


def test_a_full_disk_is_a_503_and_heals_without_a_restart(
    ballast: Path, start_dev: StartDev
) -> None:
    print(f"\nseed {SEED}")
    dev = start_dev()
    ledger = Ledger()
    asyncio.run(_fill_and_free(dev, ledger, ballast))
    put_off = [a for a in ledger.attempts if a.outcome is Outcome.UNAVAILABLE]
    print(f"{ledger.count(Outcome.OK)} stored, {len(put_off)} put off")
    assert all(_says_how_to_go_on(attempt) for attempt in put_off)
    assert '"message": "waits", "pipeline": "store"' in dev.log, "the store never met the full disk"
    assert 0 < dev.log.count("write failed") < len(put_off) / 10, "each failure is in the log"
    oracle.check(dev, ledger)


async def _fill_and_free(dev: Dev, ledger: Ledger, ballast: Path) -> None:
    load = Load(dev.url, dev.key("server"), ledger)
    load.begin(mix(SEED), connections=CONNECTIONS)
    await load.until(
        lambda it: it.count(Outcome.UNAVAILABLE) > 200 and _store_error(dev) != "",
        what="the disk was full for log and store",
    )
    await asyncio.to_thread(ballast.unlink)
    stored = ledger.count(Outcome.OK)
    await load.until(lambda it: it.count(Outcome.OK) > stored + 200, what="it healed")
    load.stop()
    await load.ended()
    assert not ledger.count(Outcome.CUT, Outcome.TIMEOUT, Outcome.FAILED)


def _store_error(dev: Dev) -> str:
    """What keeps the pipeline from writing, as the console shows it."""
    with httpx.Client(**LOOPBACK) as client:
        books = client.get(f"{dev.url}/api/affiliates/acme").json()["ledger"]
    return str(books["pipelines"][0]["last_error"])


def _says_how_to_go_on(attempt: Attempt) -> bool:
    answer = attempt.answer
    assert answer is not None
    assert answer.headers["content-type"] == "application/problem+json"
    assert json.loads(answer.body)["status"] == 503
    return int(answer.headers["retry-after"]) >= 1
