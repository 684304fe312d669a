"""
From a body to its events' exact bytes, and for every bad body the event, the byte and the reason.

What no table thinks of is in test_slicing_differential.py.
"""

import json
import time
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackmate_ingest.slicing import Malformed, OverLimit, Sliced, Slicer, write_key

SLICER = Slicer(max_events=1000, max_event_bytes=64 * 1024)

ODD = [
    b"{}",
    b'{"a":1,"a":2}',
    b"[1e400,-0,12345678901234567890,1E-9]",
    b"1" * 5000,
    b'"\\ud800\\udc00 \\udc00 \\ud800"',
    b'"\\u0000\\u001f\\/"',
    b'{\n\t"a" : [ 1 ,\r\n 2 ]\n}',
    b'{"\\ud800":{"\\u0061":null}}',
    '"\x7f\x80\u07ff\u0800\ufeff\uffff\U00010000\U0010ffff"'.encode(),
    b"[" * 128 + b"]" * 128,
    b'{"a":' * 128 + b"1" + b"}" * 128,
    b'["' + b"[{" * 200 + b'"]',
]
"""What other parsers stumble over, and RFC 8259 calls JSON."""


def offset_of_fault(cut: Callable[[bytes], object], body: bytes) -> int:
    try:
        cut(body)
    except Malformed as fault:
        return fault.offset
    return 0


def values(events: list[Sliced]) -> list[bytes]:
    return [event.value for event in events]


# --- what is taken, and how it is cut


@pytest.mark.parametrize("text", ODD)
def test_odd_json_is_cut_exactly_in_every_shape(text: bytes) -> None:
    assert values(SLICER.lines(b"\n" + text + b"\r\n\n{} \n")) == [text, b"{}"]
    assert values(SLICER.json(b" [ " + text + b"\t,\n" + text + b" ] ")) == [text, text]
    assert values(SLICER.batch(b'{"batch" : [{},\n' + text + b"] }")) == [b"{}", text]


@pytest.mark.parametrize("text", [text for text in ODD if not text.startswith(b"[")])
def test_what_is_no_array_is_one_event_without_the_white_space_around(text: bytes) -> None:
    assert values(SLICER.json(b"\r\n\t " + text + b" \n")) == [text]


def test_an_array_in_a_line_is_one_event() -> None:
    assert values(SLICER.lines(b"[1,2]\n[]")) == [b"[1,2]", b"[]"]


def test_events_are_bytes_of_their_own() -> None:
    assert all(type(event.value) is bytes for event in SLICER.json(b'[{},{"a":1}]'))


def test_a_text_may_span_lines() -> None:
    pretty = json.dumps({"a": [1, {"b": 2}]}, indent=2).encode()

    assert values(SLICER.lines(pretty + b"\n" + pretty)) == [pretty, pretty]


@pytest.mark.parametrize(
    ("body", "events"),
    [
        (b'[{"a":1},{}]', [b'{"a":1}', b"{}"]),
        (b'{\n"a":1\n}', [b'{\n"a":1\n}']),
        (b"{}\n[1]\n", [b"{}", b"[1]"]),
        (b"[1]\n{}", [b"[1]", b"{}"]),
    ],
)
def test_a_beacon_is_json_or_else_lines(body: bytes, events: list[bytes]) -> None:
    assert values(SLICER.sniffed(body)) == events


def test_the_last_batch_of_a_body_counts() -> None:
    body = b'{"batch":[1],"b\\u0061tch":[ {"a":"\\ud800"} ],"writeKey":1,"writeKey":"k"}'

    assert SLICER.batch(body) == [Sliced(None, None, b'{"a":"\\ud800"}')]
    assert write_key(body) == "k"


def test_what_stands_beside_the_batch_does_not_matter() -> None:
    around = b'{"sentAt":"\\ud800","context":{"batch":[1]},"batch":[{}],"z":[[]]}'

    assert SLICER.batch(around) == [Sliced(None, None, b"{}")]
    assert write_key(around) is None


def test_a_call_is_its_body_and_brings_its_key() -> None:
    body = b'{"messageId":"m","userId":"u","writeKey":"k"}'

    assert SLICER.call(b"\n" + body + b"\n") == [Sliced("m", "u", body)]
    assert write_key(body) == "k"


@pytest.mark.parametrize(
    "body", [b'{"writeKey":"k","a":%s}', b'{"batch":[%s],"writeKey":"\\u006b"}']
)
@pytest.mark.parametrize("text", [b'"x"', b'"\\ud800"'])
def test_the_write_key_is_read_without_the_events(body: bytes, text: bytes) -> None:
    assert write_key(body % text) == "k"


@pytest.mark.parametrize("value", [b'""', b"1", b"null", b"{}"])
def test_a_write_key_is_a_string_that_is_not_empty(value: bytes) -> None:
    assert write_key(b'{"writeKey":' + value + b"}") is None


def test_a_raw_body_is_one_event_whatever_it_is() -> None:
    assert SLICER.whole(b" \xff ") == [Sliced(None, None, b" \xff ")]


# --- the id and the key


@pytest.mark.parametrize("rest", [b"", b',"x":"\\ud800"'], ids=["fast", "strict"])
@pytest.mark.parametrize(
    ("members", "event_id", "key"),
    [
        (b'"messageId":"m","anonymousId":"a","userId":"u"', "m", "a"),
        (b'"messageId":"","anonymousId":"","userId":"u"', None, "u"),
        (b'"messageId":1,"anonymousId":null,"userId":-1.50e400', None, "-1.50e400"),
        (b'"messageId":["m"],"anonymousId":{"a":"a"},"userId":true', None, None),
        (b'"messageId":"m","messageId":"n"', "n", None),
        (b'"messageId":"m","messageId":null', None, None),
        (b'"message\\u0049d":"\\u006d\\n","userId":"\\ud83d\\ude00"', "m\n", "\U0001f600"),
        (b'"p":{"messageId":"m","userId":"u"}', None, None),
        (b'"userId":' + b"9" * 5000, None, "9" * 5000),
    ],
)
def test_the_id_and_the_key_are_read_from_the_bytes(
    members: bytes, event_id: str | None, key: str | None, rest: bytes
) -> None:
    body = b"{" + members + rest + b"}"

    assert SLICER.json(body) == [Sliced(event_id, key, body)]


def test_lone_surrogates_of_an_id_become_replacement_characters() -> None:
    [event] = SLICER.json(b'{"messageId":"a\\ud800b\\udc00","userId":"\\udfff"}')

    assert event[:2] == ("a\ufffdb\ufffd", "\ufffd")


def test_a_stream_may_name_other_fields_and_one_twice() -> None:
    slicer = Slicer("nr", ["nr", "\u00e9", "nr"], max_events=9, max_event_bytes=99)

    assert slicer.json(b'[{"nr":7},{"nr":"8"}]')[0][:2] == (None, "7")
    assert slicer.json(b'{"nr":"8"}')[0][:2] == ("8", "8")
    assert slicer.json('{"\u00e9":"x"}'.encode())[0][:2] == (None, "x")


def test_a_stream_may_do_without_a_key() -> None:
    slicer = Slicer("messageId", [], max_events=9, max_event_bytes=99)

    assert slicer.json(b'{"messageId":"m","userId":"u"}')[0][:2] == ("m", None)


@pytest.mark.parametrize("text", [b"1", b'"messageId"', b'["messageId","m"]', b"null"])
def test_what_is_no_object_has_no_id_and_no_key(text: bytes) -> None:
    assert SLICER.json(b"[" + text + b"]") == [Sliced(None, None, text)]


# --- what is refused, and where


@pytest.mark.parametrize(
    ("body", "index", "offset", "what"),
    [
        (b"", None, 0, "the body holds no event"),
        (b" \n", None, 2, "the body holds no event"),
        (b"[ ]", None, 0, "the body holds no event"),
        (b'\xef\xbb\xbf{"a":1}', 0, 0, "a byte order mark"),
        (b'[{},{"a":"\xc3\xa9\xff"}]', 1, 12, "invalid UTF-8"),
        (b"[1]\xff", None, 3, "invalid UTF-8"),
        (b'["\xed\xa0\x80"]', 0, 2, "invalid UTF-8"),
        (b'["\xc0\xaf"]', 0, 2, "invalid UTF-8"),
        ('["é",NaN]'.encode(), 1, 6, "NaN is not JSON"),
        (b'[{"a":"NaN","b":[-Infinity]}]', 0, 17, "-Infinity is not JSON"),
        (b"[1,2,]", None, 4, "a trailing comma"),
        (b"[1,[2 , ]]", 1, 6, "a trailing comma"),
        (b'{"a":1,}', 0, 6, "a trailing comma"),
        (b"[,]", 0, 1, "not a JSON value"),
        (b"[1,,2]", 1, 3, "not a JSON value"),
        (b"[1 2]", None, 3, "a comma or a closing bracket is missing"),
        (b"[1}", None, 2, "a comma or a closing bracket is missing"),
        (b'{"a":1 "b":2}', 0, 7, "a comma or a closing bracket is missing"),
        (b"{'a':1}", 0, 1, "a name in double quotes is missing"),
        (b'{"a" 1}', 0, 5, "a colon is missing"),
        (b"[0,01]", 1, 4, "a malformed number"),
        (b'[{"a":-01}]', 0, 8, "a malformed number"),
        (b"[1.]", 0, 2, "a malformed number"),
        (b"[1e+]", 0, 2, "a malformed number"),
        (b"[+1]", 0, 1, "not a JSON value"),
        (b"[.5]", 0, 1, "not a JSON value"),
        (b"[-]", 0, 1, "not a JSON value"),
        (b"[True]", 0, 1, "not a JSON value"),
        (b'["a\nb"]', 0, 3, "a control character in a string"),
        (b'["\\x"]', 0, 2, "an invalid escape in a string"),
        (b'["\\u12g4"]', 0, 6, "an invalid escape in a string"),
        (b'["a', 0, 3, "the body ends early"),
        (b'["\\u12', 0, 6, "the body ends early"),
        (b'[{"a":1', 0, 7, "the body ends early"),
        (b"[{}", None, 3, "the body ends early"),
        (b"[{},", None, 4, "the body ends early"),
        (b"{} {}", None, 3, "text after the end of the JSON text"),
        (b"{}\0", None, 2, "text after the end of the JSON text"),
        (b"\xc2\xa0{}", 0, 0, "not a JSON value"),
        (b"[[]," + b"[" * 129 + b"]" * 129 + b"]", 1, 132, "nested deeper than 128"),
        (b"[[" + b'{"a":' * 128 + b"1" + b"}" * 128 + b"]]", 0, 637, "nested deeper than 128"),
        (b"[" * 200, 0, 129, "nested deeper than 128"),
        (b"[" * 100_000, 0, 129, "nested deeper than 128"),
        (b'[{},{"a":' + b"[" * 128 + b"]" * 128 + b"}]", 1, 136, "nested deeper than 128"),
        (b"[" + b'["]",' * 129 + b"1" + b',"["]' * 129 + b"]", 0, 641, "nested deeper than 128"),
        (b'["\\ud800",x]', 1, 10, "not a JSON value"),
    ],
)
def test_a_bad_body_is_refused_with_event_byte_and_reason(
    body: bytes, index: int | None, offset: int, what: str
) -> None:
    with pytest.raises(Malformed) as refused:
        SLICER.json(body)

    assert (refused.value.index, refused.value.offset, refused.value.what) == (index, offset, what)


@pytest.mark.parametrize(
    ("body", "index", "offset", "what"),
    [
        (b"\n\n", None, 2, "the body holds no event"),
        (b"{} {}", None, 3, "a newline between two events is missing"),
        (b"{}\r{}", None, 3, "a newline between two events is missing"),
        (b"1\n{}{}", None, 4, "a newline between two events is missing"),
        (b"{}\n{},\n", None, 5, "a newline between two events is missing"),
        (b'{}\n\n{"a":}', 1, 9, "not a JSON value"),
        (b'{}\n{"a":"\n"}', 1, 9, "a control character in a string"),
        (b"{}\n{", 1, 4, "the body ends early"),
        (b"{}\n\xff", None, 3, "invalid UTF-8"),
    ],
)
def test_a_bad_line_is_refused_with_event_byte_and_reason(
    body: bytes, index: int | None, offset: int, what: str
) -> None:
    with pytest.raises(Malformed) as refused:
        SLICER.lines(body)

    assert (refused.value.index, refused.value.offset, refused.value.what) == (index, offset, what)


@pytest.mark.parametrize(
    ("body", "index", "offset", "what"),
    [
        (b"", None, 0, "the body holds no event"),
        (b"[]", None, 0, "not a JSON object"),
        (b"{}", None, 0, "no array named batch"),
        (b'{"batch":{}}', None, 0, "no array named batch"),
        (b'{"batch":[1],"batch":null}', None, 0, "no array named batch"),
        (b'{"batch":[]}', None, 0, "the body holds no event"),
        (b'{"a":tru,"batch":[1]}', None, 5, "not a JSON value"),
        (b'{"batch":[{},{"a":tru}]}', 1, 18, "not a JSON value"),
        (b'{"batch":[1],}', None, 12, "a trailing comma"),
        (b'{"batch":[1],1}', None, 13, "a name in double quotes is missing"),
        (b'{"batch" [1]}', None, 9, "a colon is missing"),
        (b'{"batch":[1]}{}', None, 13, "text after the end of the JSON text"),
        (b'{"batch":[1]', None, 12, "the body ends early"),
    ],
)
def test_a_bad_batch_is_refused_with_event_byte_and_reason(
    body: bytes, index: int | None, offset: int, what: str
) -> None:
    with pytest.raises(Malformed) as refused:
        SLICER.batch(body)

    assert (refused.value.index, refused.value.offset, refused.value.what) == (index, offset, what)


@pytest.mark.parametrize("body", [b"[{}]", b"1", b"", b'"{}"'])
def test_a_call_must_be_an_object(body: bytes) -> None:
    with pytest.raises(Malformed):
        SLICER.call(body)


@pytest.mark.parametrize(
    ("body", "offset"),
    [
        (b'{"a":1}\n{"a":}', 13),  # meant as lines
        (b'[1,\n{"a":}]', 9),  # meant as an array
    ],
)
def test_a_bad_beacon_is_explained_as_what_it_was_meant_to_be(body: bytes, offset: int) -> None:
    with pytest.raises(Malformed) as refused:
        SLICER.sniffed(body)

    assert refused.value.offset == offset


def test_a_refusal_is_a_sentence() -> None:
    with pytest.raises(
        Malformed, match=r"^Event 1 is malformed at byte 4 of the body: a malf.*\.$"
    ):
        SLICER.json(b"[0,01]")


# --- the limits


@pytest.mark.parametrize("last", [b"{}", b'"\\ud800"'], ids=["fast", "strict"])
def test_as_many_events_as_the_limit_and_no_more(last: bytes) -> None:
    slicer = Slicer(max_events=3, max_event_bytes=99)
    assert len(slicer.json(b"[{},{}," + last + b"]")) == 3

    for cut, body in [
        (slicer.json, b"[{},{},{}," + last + b"]"),
        (slicer.lines, b"{}\n{}\n{}\n" + last),
        (slicer.sniffed, b"{}\n{}\n{}\n" + last),
        (slicer.batch, b'{"batch":[{},{},{},' + last + b"]}"),
    ]:
        with pytest.raises(OverLimit, match="more than 3 events") as refused:
            cut(body)
        assert (refused.value.index, refused.value.limit) == (None, 3)


def test_a_long_array_is_one_event_where_it_is_one_line_of_several() -> None:
    long = b"[" + b"1," * 1000 + b"1]"

    assert values(SLICER.sniffed(long + b"\n{}")) == [long, b"{}"]


def test_more_lines_than_the_limit_may_be_fewer_events() -> None:
    slicer = Slicer(max_events=1, max_event_bytes=99)

    assert values(slicer.lines(b'{\n"a":\n1\n}\n')) == [b'{\n"a":\n1\n}']


@pytest.mark.parametrize("text", [b'{"a":"%s"}', b'{"\\ud800":"%s"}'], ids=["fast", "strict"])
def test_an_event_as_large_as_the_limit_and_no_larger(text: bytes) -> None:
    slicer = Slicer(max_events=9, max_event_bytes=40)
    fits, over = text % (b"x" * (42 - len(text))), text % (b"x" * (43 - len(text)))
    assert values(slicer.json(b"[  " + fits + b"]")) == [fits]

    with pytest.raises(OverLimit, match="has 41 bytes, the limit is 40") as refused:
        slicer.json(b"[{}," + over + b"]")
    assert (refused.value.index, refused.value.limit) == (1, 40)


def test_a_raw_body_has_the_limit_of_an_event() -> None:
    with pytest.raises(OverLimit, match="has 5 bytes, the limit is 4"):
        Slicer(max_events=9, max_event_bytes=4).whole(b"12345")


@pytest.mark.parametrize(
    "unit", [b"[],", b"{},", b"[[1]],", b'"\\ud800",', b"1,", b'{"":0},', b'"",']
)
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"[[", b"1],x]"),
        (b"[", b"\xff"),
        (b'{"batch":[1],"a":[', b'"\\ud800"]}'),
        (b"[[", b"[" * 200),
    ],
)
def test_half_a_megabyte_of_hostility_costs_milliseconds(
    unit: bytes, before: bytes, after: bytes
) -> None:
    slicer = Slicer(max_events=10**6, max_event_bytes=10**6)
    body = before + unit * (512 * 1024 // len(unit)) + after
    start = time.process_time()

    for cut in (slicer.sniffed, slicer.batch):
        with suppress(Malformed):
            cut(body)

    assert time.process_time() - start < 5  # far above the truth, far below what hurts


# --- whatever Hypothesis thinks of

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False)
)
documents = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)


@st.composite
def texts(draw: st.DrawFn) -> bytes:
    """A JSON text as some program might write it."""
    separators = draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\t", "\n:\r\n")]))
    indent = draw(st.sampled_from([None, 1]))
    document, ascii_only = draw(documents), draw(st.booleans())
    text = json.dumps(document, ensure_ascii=ascii_only, indent=indent, separators=separators)
    return text.encode("utf-8", "replace")


@given(st.lists(texts(), min_size=1), st.sampled_from([b"", b" ", b"\r\n\t"]))
def test_any_json_text_is_cut_exactly(events: list[bytes], space: bytes) -> None:
    array = b"[" + space + (space + b"," + space).join(events) + space + b"]"

    assert values(SLICER.json(array)) == events
    assert values(SLICER.lines((space + b"\n").join(events))) == events
    assert values(SLICER.batch(b'{"a":"\\n","batch":' + array + b"}")) == events


@given(st.binary())
def test_any_bytes_are_events_or_refused_with_a_place_inside(body: bytes) -> None:
    for cut in (SLICER.json, SLICER.lines, SLICER.sniffed, SLICER.batch, SLICER.call, write_key):
        assert 0 <= offset_of_fault(cut, body) <= len(body)
