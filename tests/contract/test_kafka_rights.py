"""What one affiliate's users may do touches nothing of another's, whatever the names."""

from hypothesis import assume, given
from hypothesis import strategies as st

from trackmate_contract.kafka_rights import Right, ingest_rights, pipeline_rights

NAMES = st.from_regex(r"[ab][ab-]{0,3}[ab]", fullmatch=True)  # few, so that mistakes meet
STREAMS = st.lists(NAMES, min_size=1, max_size=3, unique=True)


@given(NAMES, NAMES, STREAMS, STREAMS)
def test_two_affiliates_share_no_resource(
    one: str, other: str, streams: list[str], others: list[str]
) -> None:
    assume(one != other)

    mine = {right.name for right in all_rights(one, streams)}
    theirs = {right.name for right in all_rights(other, others)}

    assert mine & theirs == set()


@given(NAMES, NAMES, NAMES, STREAMS)
def test_two_pipelines_share_what_they_read_and_nothing_that_they_write_or_commit(
    affiliate: str, one: str, other: str, streams: list[str]
) -> None:
    assume(one != other)

    mine = {right.name for right in pipeline_rights(affiliate, one, streams)}
    theirs = {right.name for right in pipeline_rights(affiliate, other, streams)}

    assert mine & theirs == {f"{affiliate}.{stream}" for stream in streams}


@given(NAMES, STREAMS)
def test_who_writes_a_stream_cannot_read_it_and_the_other_way_round(
    affiliate: str, streams: list[str]
) -> None:
    wrote = {r.name for r in ingest_rights(affiliate, streams) if "Write" in r.operations}
    rights = pipeline_rights(affiliate, "crm", streams)

    assert not [r for r in ingest_rights(affiliate, streams) if "Read" in r.operations]
    assert wrote.isdisjoint(r.name for r in rights if "Write" in r.operations)


def all_rights(affiliate: str, streams: list[str]) -> list[Right]:
    return [*ingest_rights(affiliate, streams), *pipeline_rights(affiliate, "ab", streams)]
