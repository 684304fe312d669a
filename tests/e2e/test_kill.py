"""
kill -9 at any moment loses nothing that was acknowledged (promise P4), and a repeat of what was not
makes no second document (P3).

`TRACKMATE_KILL_ROUNDS` says how often; `TRACKMATE_SEED` sends the load of an earlier run again.
"""

import asyncio
import os
import shutil
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import astuple, dataclass
from pathlib import Path
from random import Random, randrange

import pytest

import oracle
from mix import mix
from running import Dev
from trackmate.backbone import Reads
from trackmate.embedded import books
from trackmate.embedded.database import connect
from traffic import Ledger, Load, Outcome

StartDev = Callable[..., Dev]

ROUNDS = int(os.environ.get("TRACKMATE_KILL_ROUNDS", "10"))
SEED = int(os.environ.get("TRACKMATE_SEED", str(randrange(10**6))))
CONNECTIONS = 12


@dataclass(frozen=True)
class Kill:
    """What one kill -9 hit: counts of requests, but for `redelivered`."""

    seed: int
    acked: int
    in_flight: int
    redelivered: int
    """Events that were in the log and not settled, so the next process reads them again."""
    repeated: int
    recovered: float
    """Seconds from the start of the next process until it was ready."""


TITLE = "  seed   acked  in flight  redelivered  repeated  recovered (s)"
LINE = "{:>6}  {:>6}  {:>9}  {:>11}  {:>8}  {:>13.2f}"


@pytest.mark.timeout(60 + 15 * ROUNDS)
def test_kill_9_under_load_loses_nothing_that_was_acknowledged(
    start_dev: StartDev, tmp_path: Path
) -> None:
    dev = start_dev()
    key = dev.key("server")
    ledger = Ledger()
    kills = []
    print(f"\n{TITLE}")
    for number in range(ROUNDS):
        seed = SEED + number
        cut = Ledger()
        asyncio.run(_load_and_kill(dev, key, cut, seed=seed))
        in_flight, unsettled = cut.count(Outcome.CUT), _unsettled(tmp_path)
        began = time.monotonic()
        dev = start_dev()
        recovered = time.monotonic() - began
        repeated = cut.unknown() if number % 2 else []
        kills.append(
            Kill(seed, cut.count(Outcome.OK), in_flight, unsettled, len(repeated), recovered)
        )
        print(LINE.format(*astuple(kills[-1])))
        if repeated:
            asyncio.run(_repeat(dev, key, cut))
            assert not cut.unknown()
        ledger.attempts += cut.attempts
        oracle.check(dev, ledger)
    assert all(kill.acked for kill in kills)
    assert sum(kill.in_flight for kill in kills) > 0, "no kill hit a request in flight"
    assert sum(kill.redelivered for kill in kills) > 0, "no kill hit the pipeline at work"
    assert sum(kill.repeated for kill in kills) > 0, "nothing was repeated"


async def _load_and_kill(dev: Dev, key: str, ledger: Ledger, *, seed: int) -> None:
    """Kill at a moment that has nothing to do with the answers."""
    rng = Random(seed)
    load = Load(dev.url, key, ledger)
    load.begin(mix(seed), connections=CONNECTIONS)
    enough = rng.randint(20, 400)
    await load.until(lambda it: it.count(Outcome.OK) >= enough, what=f"{enough} acknowledgements")
    await asyncio.sleep(rng.uniform(0, 0.03))
    dev.process.kill()
    load.stop()
    await load.ended()
    dev.process.wait()


async def _repeat(dev: Dev, key: str, ledger: Ledger) -> None:
    load = Load(dev.url, key, ledger)
    load.begin(ledger.unknown(), connections=CONNECTIONS)
    await load.ended()


def _unsettled(home: Path) -> int:
    """From a copy: to open the files of a killed process is to recover them, which is its task."""
    copy = home / "copy"
    copy.mkdir(exist_ok=True)
    for name in ("acme.db", "acme.db-wal"):
        shutil.copy(home / ".trackmate" / "data" / name, copy / name)
    (copy / "acme.db-shm").unlink(missing_ok=True)
    with closing(connect(copy / "acme.db")) as connection:
        (line,) = books.ledger(connection, [Reads("store")]).lines
    return line.in_flight
