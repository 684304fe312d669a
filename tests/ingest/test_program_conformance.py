"""
The way into `trackmate-ingest` is that of `trackmate dev`: refusals and what surrounds events.
"""

from collections.abc import Iterator

import httpx
import pytest

import ingest_program
from claims import claims
from ingest_program import Program, serving
from kafka_broker import kafka_brokers
from loopback import LOOPBACK

pytestmark = pytest.mark.needs("kafka")

globals().update(
    claims(
        "conformance/test_refusals.py",
        "caller",
        "test_bad_input_gets_the_answer_that_the_table_promises",
        "test_nothing_of_a_refused_request_was_stored",
        "test_without_exactly_one_host_nothing_is_answered",
        "test_a_host_of_nobody_has_no_route_of_an_affiliate_by_any_method",
        "test_probes_are_answered_under_any_host",
        "test_an_offer_of_another_protocol_is_passed_over",
        "test_many_requests_in_one_packet_are_all_answered",
        "test_a_body_in_large_pieces_is_taken",
        "test_gzip_of_very_many_members_is_refused",
        "test_half_a_body_stores_nothing",
        "test_a_refused_flood_does_not_flood_the_log",
    )
)
globals().update(
    claims(
        "conformance/test_interface.py",
        "http",
        "key",
        "test_a_page_may_ask_before_it_sends",
        "test_every_answer_can_be_read_by_a_page_without_credentials",
        "test_an_address_of_nobody_s_is_a_problem_that_a_page_can_read",
        "test_the_documentation_needs_nothing_from_elsewhere",
        "test_metrics_are_on_a_port_of_their_own",
        "test_without_any_id_each_event_gets_one_that_sorts_by_time",
    )
)

SPEC = {
    "streams": [{"name": "images"}, {"name": "events"}],
    "ingest": {
        "hosts": ["acme.track.example.com"],
        "keys": [
            {"name": "few", "use": "Server", "limits": {"requestsPerSecond": 1}},
            {"name": "small", "use": "Server", "limits": {"bytesPerSecond": "1Ki"}},
        ],
        "limits": {"bodyTimeout": "1s"},
    },
}
KEYS = [
    *ingest_program.KEYS,
    ingest_program.key("old", expires="2020-01-01T00:00:00Z"),
    *map(ingest_program.key, ("few", "small")),
]


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with kafka_brokers() as cluster:
        cluster.create("acme.events", "acme.images", partitions=1)
        home = tmp_path_factory.mktemp("conformance")
        with serving(home, cluster, spec=SPEC, keys=KEYS, partitions=1) as program:
            yield program


def test_health_and_readiness_say_yes_and_what_is_relaxed(dev: Program) -> None:
    assert httpx.get(f"{dev.url}/healthz", **LOOPBACK).json() == {"status": "ok"}
    assert dev.readiness() == (200, "relaxed: what is stored may be on one broker alone")
