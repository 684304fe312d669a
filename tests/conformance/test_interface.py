"""
What surrounds the events: CORS, health, metrics, the documentation, and the ways to name an id.
"""

import json
import re
from collections.abc import Iterator

import httpx
import pytest

from loopback import LOOPBACK
from running import Dev

ALLOWED = {
    "authorization",
    "content-type",
    "content-encoding",
    "x-retry-count",
    "x-trackmate-key",
    "idempotency-key",
}


@pytest.fixture
def http(dev: Dev) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=dev.url, **LOOPBACK) as client:
        yield client


@pytest.fixture
def key(dev: Dev) -> dict[str, str]:
    return {"authorization": f"Bearer {dev.key('server')}", "content-type": "application/json"}


@pytest.mark.parametrize("path", ["/v1/events", "/v1/t", "/v1/batch", "/v1/raw/a", "/no"])
def test_a_page_may_ask_before_it_sends(http: httpx.Client, path: str) -> None:
    asked = {"origin": "https://any.example", "access-control-request-method": "POST"}
    answer = http.options(path, headers=asked)

    allowed = answer.headers["access-control-allow-headers"].lower().split(", ")
    assert answer.status_code == 204
    assert "content-length" not in answer.headers, "RFC 9110 8.6"
    assert set(allowed) == ALLOWED
    assert "POST" in answer.headers["access-control-allow-methods"]


@pytest.mark.parametrize("path", ["/healthz", "/v1/projects/no-key/settings", "/v1/nothing"])
def test_every_answer_can_be_read_by_a_page_without_credentials(
    http: httpx.Client, path: str
) -> None:
    answer = http.get(path, headers={"origin": "https://any.example"})

    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-expose-headers"] == "Retry-After"
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize("path", ["/nope", "/v2/events", "/v1", "//v1/events", "/redoc", "/index"])
@pytest.mark.parametrize("host", ["localhost", "nobody.example"])
def test_an_address_of_nobody_s_is_a_problem_that_a_page_can_read(
    dev: Dev, http: httpx.Client, method: str, path: str, host: str
) -> None:
    answer = http.request(method, dev.url + path, headers={"host": host})

    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert answer.json()["type"] == "urn:trackmate:problem:not-found"
    assert answer.headers["access-control-allow-origin"] == "*"


def test_health_and_readiness_say_yes(http: httpx.Client, backbone: tuple[str, ...]) -> None:
    on_one_broker = "relaxed: what is stored may be on one broker alone" if backbone else ""
    assert http.get("/healthz").json() == {"status": "ok"}
    assert http.get("/readyz").json() == {"ready": True, "reason": on_one_broker}


def test_the_documentation_needs_nothing_from_elsewhere(http: httpx.Client) -> None:
    page = http.get("/docs").text
    linked = re.findall(r'(?:src|href)="([^"]+)"', page)

    assert len(linked) == 3
    assert [http.get(f"/{link}").status_code for link in linked] == [200, 200, 200]
    assert "//" not in "".join(linked)


def test_metrics_are_on_a_port_of_their_own(
    dev: Dev, http: httpx.Client, key: dict[str, str]
) -> None:
    name = 'trackmate_ingest_events_total{affiliate="acme",stream="images"}'
    before = counted(dev, name)
    http.post("/v1/events?stream=images", content="[1,2,3]", headers=key)

    assert counted(dev, name) == before + 3
    assert http.get("/metrics").status_code == 404


@pytest.mark.parametrize(
    ("told", "more"), [("3", 3), ("", 0), ("-1", 0), ("1e9", 0), ("9999999", 0), ("x", 0)]
)
def test_what_a_client_lost_is_counted_where_it_can_be_a_count(
    dev: Dev, http: httpx.Client, key: dict[str, str], told: str, more: int
) -> None:
    name = 'trackmate_ingest_client_losses_total{affiliate="acme"}'
    before = counted(dev, name)
    sent = http.post("/v1/events", params={"dropped": told}, content="{}", headers=key)

    assert sent.status_code == 200
    assert counted(dev, name) == before + more


def counted(dev: Dev, name: str) -> float:
    text = httpx.get(dev.metrics_url, **LOOPBACK).text
    found = re.search(re.escape(name) + r" (\S+)", text)
    return float(found[1]) if found else 0


def test_without_an_id_of_its_own_an_event_takes_the_request_s(
    dev: Dev, http: httpx.Client, key: dict[str, str]
) -> None:
    headers = {**key, "idempotency-key": "order-77"}
    body = '[{"a":1},{"messageId":"own"},{"messageId":""},{"messageId":5}]'
    for _ in range(2):
        assert http.post("/v1/events", content=body, headers=headers).status_code == 200

    ids = [event.id for event in dev.tail("acme", "events")]
    assert ids[-4:] == ["order-77:0", "own", "order-77:2", "order-77:3"]
    dev.settle()
    assert "e::events::order-77:0" in dev.documents()


def test_without_any_id_each_event_gets_one_that_sorts_by_time(
    dev: Dev, http: httpx.Client, key: dict[str, str]
) -> None:
    for _ in range(2):
        http.post("/v1/events", content="{}", headers=key)

    first, second = [event.id for event in dev.tail("acme", "events")][-2:]
    assert re.fullmatch(
        r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", first
    )
    assert first[:13] <= second[:13]
    assert first != second


def test_the_document_keeps_what_privacy_allows(
    dev: Dev, http: httpx.Client, key: dict[str, str]
) -> None:
    headers = {**key, "user-agent": "Probe/1", "x-forwarded-for": "203.0.113.9"}
    http.post("/v1/track", content='{"messageId":"private"}', headers=headers)

    dev.settle()
    found = json.loads(dev.documents()["e::events::private"])["tm"]
    assert (found["ip"], found["userAgent"], found["type"]) == ("127.0.0.0", "Probe/1", "track")
    assert found["key"] == "server"
