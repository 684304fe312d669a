"""
The document's form: what the platform knows in `tm`, and the event's exact bytes.
"""

import json
from base64 import b64decode

from hypothesis import given
from hypothesis import strategies as st

from trackmate_consume.translate import to_document
from trackmate_contract.record import Record, Stamp

STAMP = Stamp(1_700_000_000_000, "web")


def record(value: bytes, stamp: Stamp = STAMP, event_id: str = "e1") -> Record:
    return Record("events", 2, 7, event_id, "me", value, stamp)


def test_the_event_stands_in_the_document_byte_for_byte() -> None:
    value = b'{ "a" : 1e400,\n"a":"\\ud800" }'

    assert to_document(record(value)).value.endswith(b',"event":' + value + b"}")


def test_tm_says_where_the_event_is_and_how_it_came() -> None:
    stamp = STAMP._replace(type="track", ip="203.0.113.0", user_agent="Firefox", origin="https://a")

    assert json.loads(to_document(record(b"{}", stamp)).value)["tm"] == {
        "id": "e1",
        "stream": "events",
        "partition": 2,
        "offset": 7,
        "received": 1_700_000_000_000,
        "key": "web",
        "type": "track",
        "ip": "203.0.113.0",
        "userAgent": "Firefox",
        "origin": "https://a",
    }


@given(st.binary())
def test_a_raw_body_is_base64_and_says_so(value: bytes) -> None:
    stamp = STAMP._replace(content_type="application/json")
    document = json.loads(to_document(record(value, stamp)).value)

    assert b64decode(document["event"]) == value
    assert (document["tm"]["encoding"], document["tm"]["contentType"]) == (
        "base64",
        "application/json",
    )


@given(st.text())
def test_any_id_and_header_gives_a_document_that_is_json(text: str) -> None:
    plain = text.encode("utf-8", "replace").decode()
    stamp = STAMP._replace(user_agent=plain)

    assert json.loads(to_document(record(b"1", stamp, plain)).value)["tm"]["id"] == plain
