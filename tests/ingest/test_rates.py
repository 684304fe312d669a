"""
Rate limits: how much passes, and when asking again makes sense.
"""

import pytest

from trackmate_ingest.rates import Bucket


def test_no_more_requests_pass_than_the_rate_before_there_is_room_for_another() -> None:
    bucket = Bucket(rate=5, now=0.0)

    waits = [bucket.wait(1, now=number / 100) for number in range(20)]

    assert waits.count(0) == 5
    assert waits[:5] == [0.0] * 5
    assert waits[5] == pytest.approx(0.15)
    assert bucket.wait(1, now=0.21) == 0


@pytest.mark.parametrize("rate", [0.25, 1, 5, 2000])
def test_over_a_long_time_as_much_passes_as_the_rate(rate: float) -> None:
    bucket = Bucket(rate, now=0.0)
    seconds, now, passed = 40, 0.0, 0

    while now < seconds:
        wait = bucket.wait(1, now)
        passed += not wait
        now += max(wait, 1e-6) if wait else 0

    assert passed == pytest.approx(max(1, rate) + rate * seconds, abs=2)


def test_a_large_body_passes_and_those_behind_it_wait_until_its_debt_is_paid() -> None:
    bucket = Bucket(rate=100, now=0.0)

    assert bucket.wait(1100, now=0.0) == 0
    assert bucket.wait(1, now=0.0) == pytest.approx(10.01)
    assert bucket.wait(1, now=10.02) == 0
