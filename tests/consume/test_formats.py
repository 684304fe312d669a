"""
How documents are written: numbers keep their digits, no cell is a formula, a line is one line.
"""

import csv
import io
import json
from base64 import b64encode
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackmate_consume.formats import FORMATS, Unencodable, bodies, raw_json
from trackmate_consume.sink import Document
from trackmate_contract.record import Record, Stamp

STAMP = Stamp(1_700_000_000_000, "web", "track")
FORMULAS = [
    "=1+1",
    "+1",
    "-1+1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    '=HYPERLINK("http://a","b")',
    "=cmd|' /C calc'!A0",
    "-2+3+cmd|' /C calc'!A0",
    '=1","=2',
]
DIGITS = [
    "1234567890123456789",
    "-9007199254740993",
    "1.10",
    "1e1000",
    "0.1000000000000000055",
    "-0",
]

Json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def record(value: bytes = b"{}", content_type: str | None = None) -> Record:
    stamp = STAMP._replace(content_type=content_type)
    return Record("events", 2, 7, "e1", "me", value, stamp)


def written(form: str, text: bytes, of: Record | None = None) -> Document:
    return FORMATS[form].encode(text, of or record(text), 0)


def cells(line: bytes) -> list[str]:
    (row,) = csv.reader(io.StringIO(line.decode(), newline=""))
    return row


@pytest.mark.parametrize("digits", DIGITS)
@pytest.mark.parametrize("form", ["json", "ndjson", "csv", "text", "cloudevents"])
def test_a_number_keeps_its_digits_in_every_format(form: str, digits: str) -> None:
    text = f'{{"order":{digits},"nested":[{digits}]}}'.encode()

    assert written(form, text).value.count(digits.encode()) == 2


@pytest.mark.parametrize("formula", FORMULAS)
def test_text_that_a_spreadsheet_would_run_is_quoted(formula: str) -> None:
    document = written("csv", json.dumps({"a": formula, formula: "b"}).encode())

    assert cells(document.value)[0] == f"'{formula}"
    assert cells(document.head)[1] == f"'{formula}"


@pytest.mark.parametrize("number", ["-5", "-1.5e3", "5"])
def test_a_negative_number_is_no_formula(number: str) -> None:
    assert cells(written("csv", f'{{"a":{number}}}'.encode()).value) == [number]


@given(st.lists(st.text(), min_size=1))
def test_whatever_text_is_in_csv_comes_back_from_it_or_quoted(texts: list[str]) -> None:
    found = cells(written("csv", json.dumps(texts).encode()).value)

    assert [cell.removeprefix("'") for cell in found] == [text.removeprefix("'") for text in texts]
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) for cell in found)


@pytest.mark.parametrize("text", [b"1", b'"a"', b"true", b"null"])
def test_csv_refuses_what_is_neither_object_nor_array(text: bytes) -> None:
    with pytest.raises(Unencodable, match="csv needs an object or an array"):
        written("csv", text)


@pytest.mark.parametrize("depth", [5000, 100_000])
def test_a_document_that_is_nested_too_deep_for_csv_is_refused(depth: int) -> None:
    with pytest.raises(Unencodable, match="csv needs a document that is nested less deep"):
        written("csv", b"[" * depth + b"1" + b"]" * depth)


@pytest.mark.parametrize("depth", range(100, 1100, 50))
def test_between_shallow_and_deep_a_document_is_written_or_refused(depth: int) -> None:
    with suppress(Unencodable):
        written("csv", b"[" * depth + b"1" + b"]" * depth)


def test_a_cell_of_two_lines_does_not_make_a_second_row() -> None:
    assert written("csv", b'["a\\nb","c\\rd"]').value == b'"a\nb","c\rd"'


def test_csv_says_nothing_for_null_and_nests_json() -> None:
    assert cells(written("csv", b'{"a":null,"b":true,"c":{"d":[1.10,"x"]}}').value) == [
        "",
        "true",
        '{"d":[1.10,"x"]}',
    ]


def test_csv_begins_a_new_table_where_the_columns_change() -> None:
    documents = [written("csv", text) for text in (b'{"a":1}', b'{"a":2}', b'{"b":3}')]

    assert list(bodies(FORMATS["csv"], documents)) == [b"a\r\n1\r\n2\r\n", b"b\r\n3\r\n"]


@given(Json)
def test_one_json_document_is_one_line_of_a_file(value: object) -> None:
    text = json.dumps(value, indent=1).replace("\n", "\r\n").encode()
    line = FORMATS["ndjson"].line(written("ndjson", text))

    assert b"\n" not in line
    assert b"\r" not in line
    assert json.loads(line) == value


@given(Json)
def test_json_is_handed_on_byte_for_byte(value: object) -> None:
    text = json.dumps(value, indent=2).encode()

    assert written("json", text).value == text


def test_text_is_what_a_string_says_and_a_raw_body_as_it_came() -> None:
    raw = record(b"\x00\xff=1", "application/octet-stream")

    assert written("text", b'"a\\u00e9"').value == "aé".encode()
    assert written("text", b'{"a": 1}').value == b'{"a": 1}'
    assert written("text", raw_json(raw), raw).value == b"\x00\xff=1"


def test_a_cloudevent_has_the_document_as_data_and_says_where_it_is_from() -> None:
    event = json.loads(written("cloudevents", b'{"a":1}').value)

    assert event == {
        "specversion": "1.0",
        "id": "e1",
        "source": "/streams/events",
        "type": "io.trackmate.track",
        "time": "2023-11-14T22:13:20+00:00",
        "partitionkey": "me",
        "datacontenttype": "application/json",
        "data": {"a": 1},
    }


def test_the_documents_of_one_event_are_cloudevents_of_different_ids() -> None:
    encode = FORMATS["cloudevents"].encode
    ids = [json.loads(encode(b"1", record(), part).value)["id"] for part in range(3)]

    assert ids == ["e1", "e1.1", "e1.2"]


def test_a_raw_body_is_a_cloudevent_with_base64_and_its_own_type() -> None:
    raw = record(b"\x00\xff", "image/png")
    event = json.loads(written("cloudevents", raw_json(raw), raw).value)

    assert (event["datacontenttype"], event["data_base64"]) == (
        "image/png",
        b64encode(b"\x00\xff").decode(),
    )
    assert "data" not in event
