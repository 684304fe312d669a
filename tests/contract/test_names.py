"""Two parts that derive different names lose events; two tenants that share one see each other."""

import re
from collections.abc import Callable

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from trackmate_contract import names

NAMES = st.from_regex(r"[ab][ab-]{0,3}[ab]", fullmatch=True)  # few, so that mistakes meet
Pair = tuple[str, str]

LONGEST = "a" * names.NAME_LENGTH
IDS = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=200),
    st.from_regex(r"[0-9a-f]{64}", fullmatch=True),
    st.from_regex(r"[a-z:]{1,10}", fullmatch=True),
)
FINGERPRINTS = st.from_regex(r"[0-9a-f]{64}", fullmatch=True)


@pytest.mark.parametrize("derive", [names.topic, names.dead_letter_topic, names.group])
@given(one=st.tuples(NAMES, NAMES), other=st.tuples(NAMES, NAMES))
def test_two_pairs_never_share_a_name(derive: Callable[..., str], one: Pair, other: Pair) -> None:
    assume(one != other)

    assert derive(*one) != derive(*other)


@pytest.mark.parametrize("derive", [names.topic, names.dead_letter_topic, names.group])
@given(NAMES, NAMES, NAMES)
def test_where_one_name_ends_and_the_next_begins_is_never_in_doubt(
    derive: Callable[..., str], first: str, second: str, third: str
) -> None:
    assert derive(f"{first}-{second}", third) != derive(first, f"{second}-{third}")


@given(streams=st.tuples(NAMES, NAMES), pipelines=st.tuples(NAMES, NAMES))
def test_a_stream_never_takes_a_dead_letter_topic(streams: Pair, pipelines: Pair) -> None:
    assert names.topic(*streams) != names.dead_letter_topic(*pipelines)


@pytest.mark.parametrize("derive", [names.namespace, names.bucket, names.keys_secret])
@given(one=NAMES, other=NAMES)
def test_two_affiliates_never_share_a_name(
    derive: Callable[..., str], one: str, other: str
) -> None:
    assume(one != other)

    assert derive(one) != derive(other)


@given(one=st.tuples(NAMES, IDS), other=st.tuples(NAMES, IDS))
def test_two_events_never_share_a_document(one: Pair, other: Pair) -> None:
    assume(one != other)

    assert names.document_key(*one) != names.document_key(*other)


@given(st.text("0123456789abcdef", min_size=151, max_size=160), NAMES)
def test_no_id_can_be_chosen_to_meet_the_digest_of_a_long_one(long_id: str, stream: str) -> None:
    digest = names.document_key(stream, long_id).rpartition("::")[2]

    assert names.document_key(stream, digest) != names.document_key(stream, long_id)


@given(NAMES, IDS, FINGERPRINTS)
def test_no_id_can_be_chosen_to_take_the_place_of_a_conflict(
    stream: str, event_id: str, fingerprint: str
) -> None:
    conflict = names.conflict_key(stream, event_id, fingerprint)
    chosen = conflict.split("::", maxsplit=2)[2]

    assert names.document_key(stream, chosen) != conflict


@given(IDS, FINGERPRINTS)
def test_keys_fit_into_couchbase(event_id: str, fingerprint: str) -> None:
    assert len(names.document_key(LONGEST, event_id).encode()) <= 250
    assert len(names.conflict_key(LONGEST, event_id, fingerprint).encode()) <= 250
    assert len(names.made_key(LONGEST, event_id, 99_999).encode()) <= 250
    made = names.made_conflict_key(LONGEST, event_id, 99_999, fingerprint)
    assert len(made.encode()) <= 250


@given(NAMES, IDS, st.integers(0, 99), NAMES, IDS, st.integers(0, 99))
def test_a_pipelines_documents_have_keys_of_their_own(
    one: str, one_id: str, one_part: int, other: str, other_id: str, other_part: int
) -> None:
    """Also those of one id that ends like another's part."""
    mine = names.made_key(one, one_id, one_part)
    theirs = names.made_key(other, other_id, other_part)

    assert (mine == theirs) is ((one, one_id, one_part) == (other, other_id, other_part))
    assert mine != names.document_key(other, other_id)


def test_the_longest_names_fit_into_kafka_and_kubernetes() -> None:
    assert len(names.dead_letter_topic(LONGEST, LONGEST)) <= 249
    assert len(names.namespace(LONGEST)) <= 63
    assert len(names.keys_secret(LONGEST)) <= 63


@pytest.mark.parametrize("name", ["a", "Acme", "1acme", "acme-", "a.b", "a:b", "acme\n", "", "é1"])
def test_what_is_no_name(name: str) -> None:
    assert not re.fullmatch(names.NAME, name)
