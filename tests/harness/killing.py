"""
kill -9 of an instance under load, at a moment that has nothing to do with the answers.
"""

import asyncio
from random import Random

from mix import mix
from running import Dev
from traffic import Ledger, Load, Outcome

CONNECTIONS = 8
_LATEST_S = 0.05  # after the last acknowledgement that was waited for


async def load_and_kill(dev: Dev, key: str, *, seed: int, answers: tuple[int, int]) -> Ledger:
    """
    Kill after so many acknowledgements, at least and at most; the seed says how many. Returns the
    clients' account of this load alone.
    """
    rng = Random(seed)
    ledger = Ledger()
    load = Load(dev.url, key, ledger)
    load.begin(mix(seed), connections=CONNECTIONS)
    enough = rng.randint(*answers)
    await load.until(lambda it: it.count(Outcome.OK) >= enough, what=f"{enough} acknowledgements")
    await asyncio.sleep(rng.uniform(0, _LATEST_S))
    dev.kill()
    load.stop()
    await load.ended()
    return ledger
