"""An affiliate's rates, where several processes take its events."""

import pytest

from trackmate_contract.affiliate import AffiliateSpec, Ingest, Limits
from trackmate_ingest.intake import Intake
from trackmate_ingest.keys import WriteKey
from trackmate_ingest.log import Log

KEYS = [WriteKey("web", "tmw_web"), WriteKey("few", "tmw_few", requests_per_second=4)]


@pytest.mark.parametrize(
    ("share", "key", "passed"), [(1, 0, 12), (0.25, 0, 3), (0.25, 1, 1), (0.1, 1, 1)]
)
def test_each_process_lets_its_share_of_the_rates_through(
    share: float, key: int, passed: int, log: Log
) -> None:
    limits = Limits.model_validate({"requestsPerSecond": 12})
    spec = AffiliateSpec(ingest=Ingest(limits=limits))
    intake = Intake("acme", spec, keys=KEYS, log=log, now=0.0, share=share)

    [rate, *_] = intake.rates(KEYS[key])

    waits = [rate.requests.wait(1, now=0.0) for _ in range(20)]
    assert waits.count(0) == passed


@pytest.fixture
def log() -> Log:
    class Nowhere:
        async def append(self, *_: object) -> None:
            raise AssertionError("nothing is sent")

    return Nowhere()
