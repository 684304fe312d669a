"""What goes into `trackmate-ingest` is in Kafka byte by byte, by every route (promise P1)."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from claims import claims
from ingest_program import SPEC, Program, serving
from kafka_broker import Cluster, kafka_brokers
from kafka_reading import whole_topic
from loopback import LOOPBACK
from trackmate_contract.record import from_headers

pytestmark = pytest.mark.needs("kafka")

BYTES = claims(
    "conformance/test_bytes.py",
    "STREAMS",
    "test_a_json_text_alone_keeps_its_bytes",
    "test_the_elements_of_an_array_keep_their_bytes",
    "test_the_lines_of_ndjson_keep_their_bytes",
    "test_a_beacon_keeps_its_bytes",
    "test_a_segment_call_keeps_its_bytes",
    "test_the_elements_of_a_segment_batch_keep_their_bytes",
    "test_a_raw_body_keeps_its_bytes_whatever_they_are",
)
globals().update(BYTES)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with kafka_brokers() as cluster:
        cluster.create(*(f"acme.{name}" for name in (*BYTES["STREAMS"], "events")), partitions=1)
        yield cluster


@pytest.fixture(scope="module")
def dev(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    streams = [{"name": name} for name in (*BYTES["STREAMS"], "events")]
    home = tmp_path_factory.mktemp("bytes")
    with serving(home, cluster, spec={**SPEC, "streams": streams}, partitions=1) as program:
        yield program


def test_a_record_has_the_headers_and_the_key_of_its_event(dev: Program) -> None:
    body = b'{ "messageId":"r-1", "userId":"ann",  "total":1e400 }'
    headers = {
        "Authorization": f"Bearer {dev.key('web')}",
        "Content-Type": "text/plain",
        "Origin": "https://www.acme.example",
        "User-Agent": "Probe/1",
        "tm-id": "forged",
    }
    answer = httpx.post(f"{dev.url}/v1/track", content=body, headers=headers, **LOOPBACK)

    assert answer.status_code == 200
    messages: list[Any] = [*whole_topic(dev.cluster.settings(), "acme.events", partitions=1)]
    [record] = [one for one in messages if from_headers(one.headers())[0] == "r-1"]
    assert (record.value(), record.key()) == (body, b"ann")
    event_id, stamp = from_headers(record.headers())
    assert (event_id, stamp.key, stamp.type) == ("r-1", "web", "track")
    assert (stamp.ip, stamp.user_agent) == ("127.0.0.0", "Probe/1")
    assert stamp.origin == "https://www.acme.example"
