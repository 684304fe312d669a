"""
The sink `postgres` against a real server: what is in the table, once, whatever is repeated, refused
or broken meanwhile.
"""

import asyncio
import json
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest

from handing import RUNNERS, fault, hand, opened, placed, postgres_sink
from postgres import Server, holding, started
from trackmate_consume.formats import FORMATS, raw_json
from trackmate_consume.ledger import Outcome
from trackmate_consume.sink import Down, Refused, Translated, Unfit
from trackmate_contract.record import Record, Stamp

pytestmark = pytest.mark.needs("postgres")

CANARY = "canary-4f1d9a7c"
TABLE = "spec.sink.postgres.table"
NEW, SAME, OTHER = Outcome.DELIVERED, Outcome.DUPLICATE, Outcome.CONFLICT
NUL = (
    "answered 22P05: unsupported Unicode escape sequence: \\u0000 cannot be converted to text; "
    "take it out in a transform, or make the column `document` json"
)
HALF = (
    "answered 22P02: invalid input syntax for type json: Unicode low surrogate must follow a high "
    "surrogate; jsonb wants whole surrogate pairs: mend it in a transform, or make the column "
    "`document` json"
)
LARGE = (
    "answered 22003: value overflows numeric format; a number is too large for jsonb: make it text "
    "in a transform, or the column `document` json"
)
numbers = count()


@pytest.fixture(params=sorted(RUNNERS))
def run(request: pytest.FixtureRequest) -> Callable[..., Any]:
    return RUNNERS[request.param]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with started() as running:
        running.sql("CREATE SCHEMA web")
        yield running


@pytest.fixture
def table() -> str:
    """One of the test's own."""
    return f"t{next(numbers)}"


def documents(server: Server, table: str) -> list[list[str]]:
    return server.sql(f"SELECT id, part, document FROM {table} ORDER BY id, conflict, part")


def write(
    server: Server, table: str, *batch: Translated, form: str = "json"
) -> list[Outcome] | Exception:
    """What became of the batch, or the fault that it met."""

    async def outcome() -> list[Outcome] | Exception:
        try:
            return await hand(postgres_sink(server.url, table, form=form), *batch)
        except (Refused, Down, Unfit) as raised:
            return raised

    return asyncio.run(outcome())


# what is written


def test_the_table_is_made_and_a_row_is_all_that_is_known(
    server: Server, table: str, run: Callable[..., Any]
) -> None:
    record = Record("events", 0, 7, "order-1", "u1", b'{"a": 1}', Stamp(1_800_000_000_123, "web"))
    batch = Translated(record, placed(7, "order-1", b'{"a": 1}').documents)

    assert run(hand(postgres_sink(server.url, table), batch)) == [NEW]

    assert server.sql(
        f"SELECT id, part, stream, conflict, partition, \"offset\", received AT TIME ZONE 'UTC', "
        f"length(fingerprint), document->>'a', pg_typeof(document) FROM {table}"
    ) == [["order-1", "0", "events", "", "0", "7", "2027-01-15 08:00:00.123", "32", "1", "jsonb"]]


def test_the_table_may_be_in_a_schema(server: Server) -> None:
    assert write(server, "web.order", placed(0, "a")) == [NEW]

    assert server.value('SELECT count(*) FROM "web"."order"') == "1"


def test_several_documents_of_an_event_are_rows_under_its_id(server: Server, table: str) -> None:
    batch = [placed(0, "a", b"1", b"2", b"3"), placed(1, "b", b"4")]

    assert write(server, table, *batch) == [NEW, NEW]

    assert documents(server, table) == [
        ["a", "0", "1"],
        ["a", "1", "2"],
        ["a", "2", "3"],
        ["b", "0", "4"],
    ]


def test_a_batch_is_a_transaction(server: Server, table: str) -> None:
    write(server, table, *[placed(n, str(n)) for n in range(500)])

    assert server.value(f"SELECT count(DISTINCT xmin::text) FROM {table}") == "1"
    assert server.value(f"SELECT count(*) FROM {table}") == "500"


@pytest.mark.parametrize(
    ("form", "stored"),
    [
        ("json", '{"n": 1234567890123456789, "b": "x,y"}'),
        ("ndjson", '{"n": 1234567890123456789, "b": "x,y"}'),
        ("csv", 'n,b\r\n1234567890123456789,"x,y"'),
        ("text", '{"b": "x,y", "n": 1234567890123456789}'),
    ],
)
def test_every_format_has_its_document(server: Server, table: str, form: str, stored: str) -> None:
    text = b'{"n": 1234567890123456789, "b": "x,y"}'
    if form == "text":
        text = stored.encode()
    record = placed(0, "a", value=text).record

    write(server, table, Translated(record, (FORMATS[form].encode(text, record, 0),)), form=form)

    shown = server.value(f"SELECT to_json(document::text) FROM {table}")
    kept = json.loads(shown)
    assert json.loads(kept) == json.loads(stored) if form.endswith("json") else kept == stored


def test_cloudevents_are_jsonb(server: Server, table: str) -> None:
    record = placed(0, "a", value=b'{"n": 1}').record
    document = FORMATS["cloudevents"].encode(record.value, record, 0)

    write(server, table, Translated(record, (document,)), form="cloudevents")

    assert server.value(f"SELECT document->'data'->>'n' FROM {table}") == "1"


# what survives in jsonb, and what PostgreSQL cannot hold


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (b"12345678901234567890.10", "12345678901234567890.10"),
        (b"1e1000", "1" + "0" * 1000),
        (b'"\\ud83d\\ude00 \xc3\xa9"', '"😀 é"'),
        (b'{"a":1,"a":2}', '{"a": 2}'),
        (b"[" * 128 + b"]" * 128, "[" * 128 + "]" * 128),
        (b'"\\u007f\\u0001"', '"\x7f\\u0001"'),
        (b"null", "null"),
    ],
)
def test_a_document_means_the_same_in_jsonb(
    server: Server, table: str, text: bytes, kept: str
) -> None:
    assert write(server, table, placed(0, "a", text)) == [NEW]

    assert documents(server, table) == [["a", "0", kept]]


@pytest.mark.parametrize(
    ("text", "said"), [(b'{"a": "\\u0000"}', NUL), (b'"\\ud800"', HALF), (b"1e200000", LARGE)]
)
def test_what_jsonb_cannot_hold_is_refused_and_json_holds_it(
    server: Server, table: str, text: bytes, said: str
) -> None:
    refused = write(server, table, placed(0, "a", text))
    assert isinstance(refused, Refused)
    assert str(refused) == said

    server.sql(f"ALTER TABLE {table} ALTER document TYPE json")
    assert write(server, table, placed(0, "a", text)) == [NEW]
    assert documents(server, table) == [["a", "0", text.decode()]]


@pytest.mark.parametrize("value", [b"a\x00b", b"\xff\xfe", b"\xed\xa0\x80"])
def test_bytes_that_are_no_text_are_refused_and_bytea_holds_them(
    server: Server, table: str, value: bytes
) -> None:
    stamp = Stamp(0, "web", content_type="image/png")
    record = Record("events", 0, 0, "a", None, value, stamp)
    document = FORMATS["text"].encode(raw_json(record), record, 0)
    event = Translated(record, (document,))

    refused = write(server, table, event, form="text")
    assert isinstance(refused, Refused)
    assert "answered 22021: " in str(refused)
    assert str(refused).endswith("with format: json a raw body comes as base64")

    server.sql(f"ALTER TABLE {table} ALTER document TYPE bytea USING ''")
    assert write(server, table, event, form="text") == [NEW]
    assert server.value(f"SELECT encode(document, 'hex') FROM {table}") == value.hex()


def test_an_id_that_cannot_be_a_key_is_refused(server: Server, table: str) -> None:
    long = "".join(f"{n:x}" for n in range(3000))

    said = [str(write(server, table, placed(0, event_id))) for event_id in ("a\x00b", long)]

    assert said[0].startswith("answered 22021: ")
    assert said[1].startswith("answered 54000: ")
    assert said[1].endswith("an id over about 2,600 bytes is too long for a key")


def test_a_refused_event_leaves_nothing_of_its_batch(server: Server, table: str) -> None:
    """Its neighbours come again without it."""
    sink = postgres_sink(server.url, table)

    async def halve() -> None:
        async with opened(sink):
            good, bad = placed(0, "a"), placed(1, "b", b'"\\u0000"')
            assert isinstance(await fault(sink.write([good, bad])), Refused)
            assert server.value(f"SELECT count(*) FROM {table}") == "0"
            assert await sink.write([good]) == [NEW]

    asyncio.run(halve())


def test_what_a_constraint_of_the_table_forbids_is_refused_without_the_row(
    server: Server, table: str
) -> None:
    write(server, table, placed(0, "a"))
    server.sql(f"ALTER TABLE {table} ADD CONSTRAINT small CHECK (document->>'n' <> '{CANARY}')")

    refused = write(server, table, placed(1, "b", b'{"n": "%b"}' % CANARY.encode()))

    assert isinstance(refused, Refused)
    assert str(refused) == (
        f'answered 23514: new row for relation "{table}" violates check constraint "small"'
    )


def test_rows_that_a_trigger_swallows_are_refused(server: Server, table: str) -> None:
    """Else they would count as delivered."""
    write(server, table, placed(0, "a"))
    server.sql(
        f"CREATE FUNCTION {table}_no() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN RETURN NULL; END'",
        f"CREATE TRIGGER no BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION {table}_no()",
    )

    refused = write(server, table, placed(1, "b"))

    assert isinstance(refused, Refused)
    assert "a trigger, a rule or a policy of the table keeps it away" in str(refused)


# once


def test_the_same_record_again_is_delivered_and_there_once(
    server: Server, table: str, run: Callable[..., Any]
) -> None:
    batch = [placed(n, f"e-{n}", b"%d" % n) for n in range(20)]

    for part in (batch[:15], batch[5:], batch):
        assert run(hand(postgres_sink(server.url, table), *part)) == [NEW] * len(part)

    assert server.value(f"SELECT count(*) FROM {table}") == "20"


def test_a_record_that_comes_again_is_written_with_the_documents_of_now(
    server: Server, table: str
) -> None:
    """A replay after the transform was mended."""
    write(server, table, placed(0, "a", b"1", b"2", b"3"), placed(1, "b", b"4"))

    assert write(server, table, placed(0, "a", b'"new"', b'"too"')) == [NEW]

    assert documents(server, table) == [
        ["a", "0", '"new"'],
        ["a", "1", '"too"'],
        ["b", "0", "4"],
    ]


def test_what_others_keep_in_the_row_stays_when_it_is_written_anew(
    server: Server, table: str
) -> None:
    write(server, table, placed(0, "a", b"1"))
    server.sql(f"ALTER TABLE {table} ADD seen boolean", f"UPDATE {table} SET seen = true")

    write(server, table, placed(0, "a", b"2"))

    assert server.sql(f"SELECT document, seen FROM {table}") == [["2", "t"]]


def test_a_client_that_repeats_an_event_makes_a_duplicate(server: Server, table: str) -> None:
    write(server, table, placed(0, "a", b"1"))

    assert write(server, table, placed(9, "a", b"2")) == [SAME]

    assert documents(server, table) == [["a", "0", "1"]]


def test_a_segment_client_that_repeats_with_another_sent_at_too(server: Server, table: str) -> None:
    outcomes = []
    for offset in (0, 1):
        value = b'{"messageId": "a", "sentAt": "%d"}' % offset
        record = Record("events", 0, offset, "a", None, value, Stamp(0, "web", type="track"))
        event = Translated(record, placed(0, "a").documents)
        outcomes.append(write(server, table, event))

    assert outcomes == [[NEW], [SAME]]


def test_another_event_under_a_known_id_is_kept_beside_it(server: Server, table: str) -> None:
    first = placed(0, "a", value=b'{"n": 1}')
    other = placed(1, "a", b'{"n": 2}', b'{"n": 3}', value=b'{"n": 2}')
    write(server, table, first)

    for _ in range(2):  # the second time after a crash
        assert write(server, table, other) == [OTHER]
    assert write(server, table, other._replace(record=other.record._replace(offset=5))) == [SAME]
    assert write(server, table, first) == [NEW]

    found = server.sql(
        f"SELECT part, document->>'n', conflict = '', length(conflict) FROM {table} ORDER BY 2"
    )
    assert found == [
        ["0", "1", "t", "0"],
        ["0", "2", "f", "32"],
        ["1", "3", "f", "32"],
    ]


def test_an_event_of_a_new_log_at_the_place_of_an_old_one_overwrites_nothing(
    server: Server, table: str
) -> None:
    write(server, table, placed(0, "a", value=b"1"))  # then the data was wiped, and the table not

    assert write(server, table, placed(0, "a", value=b"2")) == [OTHER]

    assert sorted(documents(server, table)) == [["a", "0", "1"], ["a", "0", "2"]]


def test_repeats_within_a_batch_are_told_apart(server: Server, table: str) -> None:
    batch = [
        placed(0, "a", value=b"1"),
        placed(1, "a", value=b"1"),
        placed(2, "a", value=b"2"),
        placed(3, "b", value=b"3"),
        placed(4, "a", value=b"2"),
        placed(0, "a", value=b"1"),
    ]
    for _ in range(2):
        assert write(server, table, *batch) == [NEW, SAME, OTHER, NEW, SAME, NEW]

    assert server.value(f"SELECT count(*) FROM {table}") == "3"


def test_one_id_in_two_streams_is_two_events(server: Server, table: str) -> None:
    event = placed(0, "a")
    other = event._replace(record=event.record._replace(stream="images"))

    assert write(server, table, event, other) == [NEW, NEW]


def test_writers_of_the_same_events_at_once_write_them_once(
    server: Server, table: str, run: Callable[..., Any]
) -> None:
    """Two pods, or an old process that is not dead yet; each in an order of its own."""
    batch = [placed(n, f"e-{n}", b"1", b"2") for n in range(300)]
    write(server, table, placed(999, "first"))

    async def at_once() -> list[Any]:
        sinks = [postgres_sink(server.url, table) for _ in range(4)]
        orders = [batch, batch[::-1], batch[150:] + batch[:150], batch]
        return await asyncio.gather(
            *[hand(sink, *order) for sink, order in zip(sinks, orders, strict=True)]
        )

    assert run(at_once()) == [[NEW] * 300] * 4
    assert server.value(f"SELECT count(*) FROM {table}") == "601"
    assert "deadlock" not in server.log


# tables that are there already

FITTING = """CREATE TABLE {table} (
    id varchar(200) NOT NULL, part bigint NOT NULL, stream text NOT NULL, conflict text NOT NULL,
    partition int NOT NULL, "offset" bigint NOT NULL, received timestamptz(3), fingerprint bytea,
    document json, note text, seen boolean NOT NULL DEFAULT false, seq bigserial,
    UNIQUE (conflict, stream, id, part)
)"""


def test_a_table_that_fits_is_used_as_it_is(server: Server, table: str) -> None:
    server.sql(FITTING.format(table=table))

    assert write(server, table, placed(0, "a", b'{"b": 1, "b":2}')) == [NEW]

    assert documents(server, table) == [["a", "0", '{"b": 1, "b":2}']]


def test_a_table_may_be_partitioned_by_the_id(server: Server, table: str) -> None:
    server.sql(
        FITTING.format(table=table) + " PARTITION BY HASH (id)",
        f"CREATE TABLE {table}_0 PARTITION OF {table} FOR VALUES WITH (MODULUS 2, REMAINDER 0)",
        f"CREATE TABLE {table}_1 PARTITION OF {table} FOR VALUES WITH (MODULUS 2, REMAINDER 1)",
    )
    batch = [placed(n, f"e-{n}") for n in range(50)]

    for _ in range(2):
        assert write(server, table, *batch) == [NEW] * 50

    assert server.value(f"SELECT count(*) FROM {table}") == "50"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("DROP note, DROP document", "has no column 'document'; it is needed as jsonb"),
        (
            "ALTER part TYPE text",
            "has the column 'part' as text; it is needed as integer or bigint",
        ),
        (
            "ALTER document TYPE date USING NULL",
            (
                "has the column 'document' as date; it is needed as jsonb or json or text or "
                "character varying or bytea"
            ),
        ),
        (
            "ADD region text NOT NULL",
            "has the column 'region' that wants a value; give it a default or allow null",
        ),
        (
            "DROP CONSTRAINT {table}_conflict_stream_id_part_key, ADD UNIQUE (id)",
            "has no unique key of just id, stream, part, conflict; add one",
        ),
        (
            "DROP fingerprint, ADD fingerprint bytea GENERATED ALWAYS AS (NULL::bytea) STORED",
            "has the column 'fingerprint' generated; it must be a plain one",
        ),
    ],
)
def test_another_table_is_unfit(server: Server, table: str, change: str, said: str) -> None:
    server.sql(FITTING.format(table=table))
    server.sql(f"ALTER TABLE {table} {change.format(table=table)}")

    unfit = write(server, table)

    assert isinstance(unfit, Unfit)
    assert unfit.path == TABLE
    assert str(unfit) == (
        f"the table {table!r} {said}. Or name a table that is not there yet, and it is made"
    )


def test_a_partial_key_is_no_key(server: Server, table: str) -> None:
    server.sql(
        FITTING.format(table=table),
        f"ALTER TABLE {table} DROP CONSTRAINT {table}_conflict_stream_id_part_key",
        f"CREATE UNIQUE INDEX ON {table} (id, stream, part, conflict) WHERE conflict = ''",
        f"CREATE UNIQUE INDEX ON {table} (id, stream, part) INCLUDE (conflict)",
    )

    assert "has no unique key" in str(write(server, table))


def test_a_format_that_is_no_json_wants_a_column_of_text(server: Server, table: str) -> None:
    write(server, table, placed(0, "a"))

    unfit = write(server, table, form="csv")

    assert "has the column 'document' as jsonb; it is needed as text or" in str(unfit)


def test_all_faults_of_a_table_are_said_at_once(server: Server, table: str) -> None:
    server.sql(f"CREATE TABLE {table} (id int)")

    said = str(write(server, table))

    assert "the column 'id' as integer" in said
    assert "no column 'document'" in said
    assert "no unique key" in said


def test_a_view_is_unfit(server: Server, table: str) -> None:
    server.sql(f"CREATE VIEW {table} AS SELECT 1 AS id")

    assert str(write(server, table)).startswith(f"the table {table!r} is no table")


def test_looking_at_a_table_waits_for_no_lock(server: Server, table: str) -> None:
    write(server, table, placed(0, "a"))

    async def look() -> None:
        async with (
            holding(server, f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"),
            opened(postgres_sink(server.url, table, statement_s=0.5)),
        ):
            pass

    asyncio.run(look())
