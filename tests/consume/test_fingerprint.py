"""What makes two events the same: every byte, but for two members that Segment's SDK changes."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackmate_consume.fingerprint import fingerprint

SENT_AT = [b'"sentAt"', b'"\\u0073entAt"', b'"sent\\u0041t"', b'"\\u0073\\u0065\\u006E\\u0074At"']
METADATA = [b'"_metadata"', b'"\\u005Fmetadata"', b'"\\u005fmetadat\\u0061"']
OTHERS = [
    b'"messageId"',
    b'"sentat"',
    b'"xsentAt"',
    b'"sentAt "',
    b'"\\\\u0073entAt"',
    b'"a\\"sentAt"',
]
VALUES = [
    b"1" * 5000,
    b"-0",
    b"null",
    b'"sentAt"',
    b'"\\"sentAt\\":1,"',
    b'"\\\\"',
    b'{"sentAt":1,"_metadata":{}}',
    b'[{"sentAt":[1,{"a":"]}"}]},"_metadata"]',
    b"[" * 127 + b"]" * 127,
    b'{"a":' * 127 + b"1" + b"}" * 127,
]
SPACES = [b"", b"", b" ", b"\n\t"]


def same(one: bytes, other: bytes) -> bool:
    return fingerprint(one, segment=True) == fingerprint(other, segment=True)


def member(name: bytes, value: bytes, *spaces: bytes) -> bytes:
    before, after_name, before_value, after = spaces
    return before + name + after_name + b":" + before_value + value + after


def members(names: list[bytes]) -> st.SearchStrategy[bytes]:
    space = st.sampled_from(SPACES)
    return st.builds(
        member, st.sampled_from(names), st.sampled_from(VALUES), space, space, space, space
    )


@st.composite
def events(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """An event, and the same without what changes between tries."""
    lasting = members(OTHERS).map(lambda text: (text, True))
    volatile = members(SENT_AT + METADATA).map(lambda text: (text, False))
    drawn = draw(st.lists(lasting | volatile, max_size=4))
    event = b"{" + b",".join(text for text, _ in drawn) + b"}"
    return event, b"{" + b",".join(text for text, lasts in drawn if lasts) + b"}"


def test_the_fingerprint_is_the_sha256_of_the_bytes() -> None:
    event = b'{"sentAt":1}'

    assert fingerprint(event, segment=False) == sha256(event).digest()
    assert fingerprint(b'{"a" : 1}', segment=True) == sha256(b'{"a" : 1}').digest()


@given(events())
def test_an_event_has_the_fingerprint_of_its_lasting_members(drawn: tuple[bytes, bytes]) -> None:
    event, lasting = drawn

    assert fingerprint(event, segment=True) == sha256(lasting).digest()


@given(events(), events())
def test_fingerprints_are_equal_if_and_only_if_the_lasting_members_are(
    one: tuple[bytes, bytes], other: tuple[bytes, bytes]
) -> None:
    assert same(one[0], other[0]) == (one[1] == other[1])


@pytest.mark.parametrize("name", SENT_AT + METADATA)
def test_a_retry_may_change_add_or_drop_a_volatile_member_anywhere(name: bytes) -> None:
    assert same(b'{"a":1,%b:1,"b":2}' % name, b'{"a":1,%b:{"x":[2]},"b":2}' % name)
    assert same(b'{"a":1,"b":2}', b'{%b:1,"a":1,"b":2}' % name)
    assert same(b'{"a":1,"b":2}', b'{"a":1,%b:1,"b":2}' % name)
    assert same(b'{"a":1,"b":2}', b'{"a":1,"b":2,%b:1}' % name)
    assert same(b"{}", b"{%b:1,%b:2}" % (name, name))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b'{"a":{"sentAt":1}}', b'{"a":{"sentAt":2}}'),  # not at the top
        (b'{"a":[{"_metadata":1}]}', b'{"a":[{"_metadata":2}]}'),
        (b'{"a":"sentAt","b":1}', b'{"a":"sentAt","b":2}'),  # a value
        (b'{"sentAt":1,"a":1}', b'{"sentAt":1,"a": 1}'),
        (b'{"sentAt":1,"a":1,"b":2}', b'{"sentAt":1,"b":2,"a":1}'),
        (b'{"sentAt":1,"a":1}', b'{"sentAt":1,"a":1,"a":1}'),
        (b'{"sentAt":1,"a":1e2}', b'{"sentAt":1,"a":100}'),
        (b'{"sentAt":1,"a":"\\u0041"}', b'{"sentAt":1,"a":"A"}'),
        (b'{"sentat":1}', b'{"sentat":2}'),
        (b'["sentAt",1]', b'["sentAt",2]'),
        (b'"sentAt"', b'"sentAt "'),
    ],
)
def test_everything_else_counts(one: bytes, other: bytes) -> None:
    assert not same(one, other)


def test_off_segment_routes_every_byte_counts() -> None:
    one, other = b'{"sentAt":1}', b'{"sentAt":2}'

    assert fingerprint(one, segment=False) != fingerprint(other, segment=False)


@given(
    st.binary()
    | st.lists(st.sampled_from([b'{"sentAt":', b'"', b"\\", b"{", b"]", b",", b"\\u00"])).map(
        b"".join
    )
)
def test_what_is_not_json_has_a_fingerprint_too(value: bytes) -> None:
    assert len(fingerprint(value, segment=True)) == 32
