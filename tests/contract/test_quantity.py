"""Durations, sizes and times mean the same to people, to Kubernetes and to us."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackmate_contract.quantity import instant, octets, quoted, seconds

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@given(number=st.integers(1, 10_000), unit=st.sampled_from("smhd"))
def test_a_duration_is_its_seconds(number: int, unit: str) -> None:
    assert seconds(f"{number}{unit}") == timedelta(**{UNITS[unit]: number}).total_seconds()


@pytest.mark.parametrize(
    "text", ["7 days", "7", "0s", "-1s", "1.5h", "1h30m", "7D", "100ms", "7d\n", "", 7, None]
)
def test_what_is_no_duration(text: object) -> None:
    with pytest.raises(ValueError, match="is not a duration; write"):
        seconds(text)


@given(number=st.integers(0, 10**12 - 1), power=st.integers(0, 4))
def test_a_size_counts_by_1000_or_by_1024(number: int, power: int) -> None:
    decimal, binary = ["", *"kMGT"][power], ["", "Ki", "Mi", "Gi", "Ti"][power]

    assert octets(f"{number}{decimal}") == number * 1000**power
    assert octets(f"{number}{binary}") == number * 1024**power


@pytest.mark.parametrize(("text", "size"), [("1.5Ki", 1536), ("0.001k", 1), ("0.3Ki", 308)])
def test_a_fraction_of_a_byte_counts_as_a_byte(text: object, size: int) -> None:
    assert octets(text) == size


@pytest.mark.parametrize(
    "text", ["64KB", "64K", "1 Mi", "ten", "-1", "1e3", "1m", "10Mi\n", "", True, -1, 1.5, None]
)
def test_what_is_no_size(text: object) -> None:
    with pytest.raises(ValueError, match="is not a size; write"):
        octets(text)


@given(st.datetimes(min_value=datetime(1000, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 - hypothesis adds the zone
def test_a_time_is_read_as_it_was_written(time: datetime) -> None:
    assert instant(time.isoformat()) == time
    assert instant(time.isoformat().replace("+00:00", "Z")) == time


def test_a_time_that_yaml_has_read_already_is_taken() -> None:
    time = datetime(2026, 11, 1, tzinfo=UTC)

    assert instant(time) is time


@pytest.mark.parametrize(
    "text",
    ["tomorrow", "2026-11-01", "2026-11-01T00:00:00", "2026-02-30T00:00:00Z", "2026-11-01T00:00Z"],
)
def test_what_is_no_time(text: object) -> None:
    with pytest.raises(ValueError, match=r"is not a (time|day of the calendar); write it with"):
        instant(text)


def test_a_message_never_repeats_the_credentials_of_a_url() -> None:
    assert "secret" not in quoted({"url": "https://user:secret/x@host/path"})


def test_a_message_never_repeats_a_long_value_whole() -> None:
    assert len(quoted("x" * 10_000)) < 110
