"""What ingest writes beside an event is what consume reads."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackmate_contract.record import Stamp, from_headers, to_headers

TEXT = st.text(st.characters(codec="utf-8"))
OPTIONAL = st.none() | TEXT
STAMPS = st.builds(
    Stamp,
    received_ms=st.integers(min_value=0),
    key=TEXT,
    type=OPTIONAL,
    content_type=OPTIONAL,
    ip=OPTIONAL,
    user_agent=OPTIONAL,
    origin=OPTIONAL,
)


@given(event_id=TEXT, stamp=STAMPS)
def test_headers_come_back_as_they_went(event_id: str, stamp: Stamp) -> None:
    assert from_headers(to_headers(event_id, stamp)) == (event_id, stamp)


@given(event_id=TEXT, stamp=STAMPS)
def test_every_header_is_the_platforms_own_and_there_once(event_id: str, stamp: Stamp) -> None:
    headers = [name for name, _ in to_headers(event_id, stamp)]

    assert all(name.startswith("tm-") for name in headers)
    assert len(headers) == len(set(headers))


def test_headers_of_others_are_passed_over() -> None:
    headers = to_headers("e1", Stamp(received_ms=5, key="web"))

    assert from_headers([*headers, ("trace", b"x")]) == from_headers(headers)


@pytest.mark.parametrize("missing", ["tm-id", "tm-received", "tm-key"])
def test_a_record_that_ingest_did_not_write_is_refused(missing: str) -> None:
    headers = to_headers("e1", Stamp(received_ms=5, key="web"))

    with pytest.raises(KeyError, match=missing):
        from_headers([header for header in headers if header[0] != missing])
