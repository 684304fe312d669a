"""
The recipes of `docs/sinks-http.md` as they stand there: events go through the declared pipeline
into a receiver that checks the request as the interface's own page documents it.
"""

import asyncio
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest
import yaml

from handing import LOOPBACK, fault, opened
from receiver import Answer, Receiver, Request, receiving
from trackmate_consume.formats import FORMATS
from trackmate_consume.program import Dead, Filtered, Program
from trackmate_consume.sink import Refused, Translated
from trackmate_consume.sinks.http import HttpSink
from trackmate_contract.manifest import parse
from trackmate_contract.pipeline import Pipeline
from trackmate_contract.record import Record, Stamp
from trackmate_contract.specs import SecretKeyRef

PAGE = (Path(__file__).parents[2] / "docs" / "sinks-http.md").read_text("utf-8")
SECRETS = {
    "token": "Bearer 4f1d",
    "signing": "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
    "user": "acme",
    "password": "secret of ClickHouse",
    "api-key": "ApiKey VnVhQ2ZHY0JDZGJrUW0tZTVhT3g6dWkybHAyYXhUTm1zeWFrdzl0dk5udw==",
}
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"

EVENTS: list[dict[str, Any]] = [
    {
        "type": "track",
        "event": "Booking Completed",
        "messageId": "0190f5e3-7c1a-7b2d-9c3e-0123456789ab",
        "userId": "u-17",
        "properties": {"total": 1.5, "order": 1234567890123456789, "note": "a\nb"},
        "context": {"page": {"url": "https://www.acme.example/done"}},
        "timestamp": "2026-11-01T10:00:00.000Z",
    },
    {"type": "page", "name": "Home", "messageId": "page-2", "anonymousId": "a-1"},
    {"type": "identify", "messageId": "identify-3", "userId": "u-17", "traits": {"plan": "pro"}},
]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def declared(name: str) -> Pipeline:
    """A pipeline of the page."""
    documents = [one for block in blocks("yaml") for one in yaml.safe_load_all(block)]
    pipelines = [parse(one) for one in documents if one["kind"] == "Pipeline"]
    [found] = [one for one in pipelines if isinstance(one, Pipeline) and one.name == name]
    return found


def records(events: list[dict[str, Any]]) -> list[Record]:
    stamp = Stamp(1_790_000_000_123, "server", "batch")
    values = [json.dumps(event, indent=1).encode() for event in events]
    return [
        Record("events", 0, n, event["messageId"], None, value, stamp)
        for n, (event, value) in enumerate(zip(events, values, strict=True))
    ]


async def translate(pipeline: Pipeline, events: list[dict[str, Any]]) -> list[Translated]:
    """What of the events goes to the sink; none may be dead."""
    program = Program(pipeline.spec)
    try:
        await program.compile()
        found = records(events)
        results = await program.translate(found)
    finally:
        await program.close()
    assert not [result for result in results if isinstance(result, Dead)]
    return [
        Translated(record, result)
        for record, result in zip(found, results, strict=True)
        if not isinstance(result, Filtered | Dead)
    ]


def sink_at(pipeline: Pipeline, backend: Receiver) -> HttpSink:
    """The declared sink, with the receiver in the place of its host."""

    def secret(ref: SecretKeyRef) -> str | None:
        return SECRETS.get(ref.key)

    http = pipeline.spec.sink.http
    assert http is not None
    there = urlsplit(http.url)
    here = http.url.replace(f"{there.scheme}://{there.netloc}", backend.url, 1)
    return HttpSink(
        http.model_copy(update={"url": here}),
        FORMATS[pipeline.spec.format],
        batched=pipeline.spec.delivery.batch is not None,
        secret=secret,
        allowed=LOOPBACK,
    )


def deliver(name: str, backend: Receiver, events: list[dict[str, Any]] = EVENTS) -> list[Request]:
    """Run events through a pipeline of the page as its flow does, and return what came."""
    pipeline = declared(name)
    batched = pipeline.spec.delivery.batch is not None

    async def run() -> None:
        translated = await translate(pipeline, events)
        async with opened(sink_at(pipeline, backend)) as sink:
            for batch in [translated] if batched else [[one] for one in translated]:
                await sink.write(batch)

    asyncio.run(run())
    return backend.requests


def answering(check: Callable[[Request], None], body: bytes = b"") -> Iterator[Receiver]:
    """A backend that says 400 to what its interface would not take."""
    faults: list[str] = []

    def answer(request: Request) -> Answer:
        try:
            check(request)
        except (AssertionError, KeyError, ValueError) as wrong:
            faults.append(repr(wrong))
            return Answer(400, body=repr(wrong).encode())
        return Answer(200, {"Content-Type": "application/json"}, body)

    with receiving(answer) as backend:
        yield backend
    assert not faults


# ClickHouse. https://clickhouse.com/docs/interfaces/http ("Querying": the statement in `query`, the
# data in the body of a POST; "Authentication": X-ClickHouse-User and X-ClickHouse-Key), and
# https://clickhouse.com/docs/interfaces/formats/JSONEachRow (an object a line)

COLUMNS = {"id", "type", "name", "user", "received", "properties"}


def is_a_clickhouse_insert(request: Request) -> None:
    url = urlsplit(request.path)
    query = parse_qs(url.query, strict_parsing=True)
    assert (request.method, url.path) == ("POST", "/")
    assert query["query"] == ["INSERT INTO web.events FORMAT JSONEachRow"]
    assert query["date_time_input_format"] == ["best_effort"]  # takes times as ISO 8601
    assert request.headers["x-clickhouse-user"] == SECRETS["user"]
    assert request.headers["x-clickhouse-key"] == SECRETS["password"]
    for line in request.body.splitlines():
        row = json.loads(line)
        assert set(row) == COLUMNS
        assert all(isinstance(value, str) for value in row.values())
        assert re.fullmatch(TIME, row["received"])


@pytest.fixture
def clickhouse() -> Iterator[Receiver]:
    yield from answering(is_a_clickhouse_insert)


def test_the_recipe_for_clickhouse_inserts_rows(clickhouse: Receiver) -> None:
    [request] = deliver("to-clickhouse", clickhouse)

    rows = [json.loads(line) for line in request.body.splitlines()]
    assert [row["id"] for row in rows] == [event["messageId"] for event in EVENTS]
    assert [row["name"] for row in rows] == ["Booking Completed", "Home", ""]
    assert '"order":1234567890123456789' in rows[0]["properties"]
    assert rows[0]["received"] == "2026-09-21T14:13:20Z"


def test_the_table_for_clickhouse_has_the_columns_that_are_sent() -> None:
    [statement] = blocks("sql")
    assert set(re.findall(r"^    (\w+) ", statement, re.MULTILINE)) == COLUMNS


# Elasticsearch. https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-bulk: action
# and source lines in turn, the last line ends in a newline, application/x-ndjson; 200 with `errors`

BULK_TAKEN = b'{"errors":false,"items":[{"index":{"status":201}}]}'


def is_a_bulk_request(request: Request) -> None:
    url = urlsplit(request.path)
    assert (request.method, url.path) == ("POST", "/_bulk")
    assert "errors" in parse_qs(url.query)["filter_path"][0].split(",")
    assert request.headers["content-type"] == "application/x-ndjson"
    assert request.headers["authorization"] == SECRETS["api-key"]
    assert request.body.endswith(b"\n")
    for action, source in pairs(request):
        assert set(action) == {"index"}
        assert set(action["index"]) == {"_index", "_id"}
        assert len(action["index"]["_id"].encode()) <= 512
        assert isinstance(source, dict)
        assert re.fullmatch(TIME, source["@timestamp"])


def pairs(request: Request) -> list[tuple[dict[str, Any], Any]]:
    lines = [json.loads(line) for line in request.body.removesuffix(b"\n").split(b"\n")]
    return list(zip(lines[::2], lines[1::2], strict=True))


@pytest.fixture
def elasticsearch() -> Iterator[Receiver]:
    yield from answering(is_a_bulk_request, BULK_TAKEN)


def test_the_recipe_for_elasticsearch_indexes_under_the_ids(elasticsearch: Receiver) -> None:
    [request] = deliver("to-elasticsearch", elasticsearch)

    ids = [action["index"]["_id"] for action, _ in pairs(request)]
    assert ids == [event["messageId"] for event in EVENTS]
    assert [source["messageId"] for _, source in pairs(request)] == ids
    assert b'"order":1234567890123456789' in request.body


def test_a_document_that_elasticsearch_does_not_take_refuses_its_batch(
    elasticsearch: Receiver,
) -> None:
    """As it answers: 200, and the fault of one item among those that were taken."""
    error = {"type": "document_parsing_exception", "reason": "[1:9] failed to parse field [total]"}

    def answer(request: Request) -> Answer:
        items = [
            {"index": {"status": 400, "error": error} if "bad" in source else {"status": 201}}
            for _, source in pairs(request)
        ]
        errors = any("error" in item["index"] for item in items)
        return Answer(200, body=json.dumps({"errors": errors, "items": items}).encode())

    elasticsearch.answering = answer
    pipeline = declared("to-elasticsearch")

    async def run() -> tuple[Exception, Exception]:
        good, bad = await translate(pipeline, [EVENTS[1], {"messageId": "bad", "bad": True}])
        async with opened(sink_at(pipeline, elasticsearch)) as sink:
            both = await fault(sink.write([good, bad]))
            await sink.write([good])
            return both, await fault(sink.write([bad]))

    both, alone = asyncio.run(run())
    assert isinstance(both, Refused)
    assert isinstance(alone, Refused)
    assert str(alone) == ("answered that documents failed: [1:9] failed to parse field [total]")


# PostHog. https://posthog.com/docs/api/capture: api_key, event and distinct_id must be there,
# timestamp is ISO 8601, properties is an object; a `uuid` must be one


def is_a_posthog_event(request: Request) -> None:
    assert (request.method, request.path) == ("POST", "/i/v0/e/")
    assert request.headers["content-type"] == "application/json"
    event = json.loads(request.body)
    assert event["api_key"].startswith("phc_")
    assert event["event"]
    assert event["distinct_id"]
    assert isinstance(event["event"], str)
    assert isinstance(event["distinct_id"], str)
    assert isinstance(event["properties"], dict)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", event["timestamp"])
    if "uuid" in event:
        UUID(event["uuid"])


@pytest.fixture
def posthog() -> Iterator[Receiver]:
    yield from answering(is_a_posthog_event, b'{"status":"Ok"}')


def test_the_recipe_for_posthog_captures_events(posthog: Receiver) -> None:
    requests = deliver("to-posthog", posthog)

    events = [json.loads(request.body) for request in requests]
    assert [event["event"] for event in events] == ["Booking Completed", "$pageview"]
    assert [event["distinct_id"] for event in events] == ["u-17", "a-1"]
    assert [event.get("uuid") for event in events] == [EVENTS[0]["messageId"], None]
    assert [request.id for request in requests] == [event["messageId"] for event in EVENTS[:2]]


# the page's own example


def test_the_example_is_sent_and_its_code_verifies_it() -> None:
    with receiving() as backend:
        [request] = deliver("bookings-to-crm", backend)
    code: dict[str, Any] = {}
    exec(blocks("python")[0], code)
    is_ours, key, now = code["is_ours"], SECRETS["signing"], time.time()

    assert json.loads(request.body) == {"id": EVENTS[0]["messageId"], "user": "u-17", "total": 1.5}
    assert request.headers["authorization"] == SECRETS["token"]
    assert is_ours(request.headers, request.body, key, now)
    assert not is_ours(request.headers, request.body + b" ", key, now)
    assert not is_ours(request.headers, request.body, "whsec_" + "A" * 32, now)
    assert not is_ours(request.headers, request.body, key, now + 301)


def test_the_page_has_the_three_recipes_and_nothing_that_is_not_run() -> None:
    names = re.findall(r"name: ([\w-]+), namespace: trackmate-acme", PAGE)
    recipes = {"to-clickhouse", "to-elasticsearch", "to-posthog"}
    assert set(names) == {"crm", "bookings-to-crm", *recipes}
    assert len(blocks("python")) == len(blocks("sql")) == 1
