"""
Bad input: every row of the table in docs/http.md, with the answer that the table promises. And of
every refusal: it names the fault and a cure, a page can read it, and nothing was stored.
"""

import gzip
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from loopback import LOOPBACK
from running import Dev, serving
from wire import Reply, connect, exchange, receive, request

TABLE = Path(__file__).parents[2] / "docs" / "http.md"

MANIFESTS = """\
apiVersion: trackmate.io/v1alpha1
kind: Affiliate
metadata: {name: acme}
spec:
  ingest:
    hosts: [acme.track.example.com]
    keys:
      - {name: web, use: Browser, origins: ["https://www.acme.example"]}
      - {name: server, use: Server}
      - {name: old, use: Server, expires: "2020-01-01T00:00:00Z"}
      - {name: old-web, use: Browser, expires: "2020-01-01T00:00:00Z"}
      - {name: few, use: Server, limits: {requestsPerSecond: 1}}
      - {name: small, use: Server, limits: {bytesPerSecond: 1Ki}}
    limits: {bodyTimeout: 1s}
---
apiVersion: trackmate.io/v1alpha1
kind: Affiliate
metadata: {name: globex}
spec: {ingest: {hosts: [globex.track.example.com], keys: [{name: server, use: Server}]}}
"""


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory, backbone: tuple[str, ...]) -> Iterator[Dev]:
    with serving(tmp_path_factory.mktemp("refusals"), MANIFESTS, arguments=backbone) as running:
        yield running


class Caller:
    """Sends one bad request, and keeps the answer."""

    def __init__(self, dev: Dev) -> None:
        self.dev = dev
        self.keys = {k["name"]: k["key"] for k in dev.read("keys", "list", "acme")}
        self.http = httpx.Client(base_url=dev.url, **LOOPBACK)

    def post(
        self,
        body: bytes | Iterator[bytes] = b"{}",
        *,
        path: str = "/v1/events",
        key: str | None = "server",
        **headers: str,
    ) -> Reply:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {"content-type": "application/json", **named}
        if key is not None:
            sent["authorization"] = f"Bearer {self.keys.get(key, key)}"
        answer = self.http.post(path, content=body, headers=sent)
        return Reply(answer.status_code, dict(answer.headers), answer.content)

    def wire(self, *headers: str, body: bytes = b"{}", **more: str) -> Reply:
        key = f"Authorization: Bearer {self.keys['server']}"
        path = more.pop("path", "/v1/events")
        return exchange(self.dev, request(path, key, *headers, body=body, **more))

    def slowly(self, raw: bytes) -> Reply:
        """Send a part, and wait for what the server says to that."""
        with connect(self.dev) as connection:
            connection.sendall(raw)
            return receive(connection)

    def chunked(self, trailers: bytes) -> bytes:
        key = f"Authorization: Bearer {self.keys['server']}\r\n".encode()
        return HEAD + key + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n" + trailers

    def revoked(self) -> Reply:
        [made] = [k for k in self.dev.read("keys", "create", "acme", "gone") if k["name"] == "gone"]
        self.dev.read("keys", "revoke", "acme", "gone")
        return self.post(key=made["key"])

    def foreign(self) -> Reply:
        [key] = self.dev.read("keys", "list", "globex")
        return self.post(key=key["key"], host="acme.track.example.com")

    def too_often(self, body: bytes, key: str) -> Reply:
        for _ in range(100):
            answer = self.post(body, key=key)
            if answer.status != 200:
                return answer
        raise AssertionError("never refused")


def big(size: int) -> bytes:
    return b'"' + b"x" * (size - 2) + b'"'


def chunks(size: int) -> Iterator[bytes]:
    for _ in range(size // 1024 + 1):
        yield b" " * 1024


CURE = re.compile(r"[\w')\]]\. [A-Z][^.]+|: /docs$")
"""A fault, and behind it a sentence that says what to do."""

BATCH = b'[{"messageId":"refused-1"},{"messageId":"refused-2",},{"messageId":"refused-3"}]'
HEAD = b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\n"

ROWS: dict[str, Callable[[Caller], Reply]] = {
    "no key": lambda c: c.post(key=None),
    "a key that does not exist": lambda c: c.post(key="tmw_wrong"),
    "the key of another affiliate, to this affiliate's host": Caller.foreign,
    "an expired key": lambda c: c.post(key="old"),
    "a revoked key": Caller.revoked,
    "a server key in the address": lambda c: c.post(
        key=None, path=f"/v1/events?key={c.keys['server']}"
    ),
    "a browser key from an origin it does not name": lambda c: c.post(
        key="web", origin="https://evil.example"
    ),
    "a stream that the affiliate does not have": lambda c: c.post(path="/v1/events?stream=nope"),
    "a path that is no route": lambda c: c.post(path="/v1/nothing"),
    "a raw body without a stream": lambda c: c.post(path="/v1/raw/"),
    "GET where events are taken": lambda c: reply(c.http.get("/v1/events")),
    "a content type that is not taken": lambda c: c.post(content_type="application/xml"),
    "a charset that is not UTF-8": lambda c: c.post(
        content_type="application/json; charset=iso-8859-1"
    ),
    "a content encoding that is not taken": lambda c: c.post(content_encoding="br"),
    "an empty body": lambda c: c.post(b""),
    "an empty array": lambda c: c.post(b" [ ] "),
    "a Segment batch without `batch`": lambda c: c.post(b'{"events":[]}', path="/v1/batch"),
    "a body over the limit, declared": lambda c: c.post(big(600_000)),
    "a body over the limit, streamed": lambda c: c.post(chunks(600_000)),
    "a gzip bomb": lambda c: c.post(gzip.compress(b" " * 100_000_000), content_encoding="gzip"),
    "an event over the limit": lambda c: c.post(b"[1," + big(65_537) + b"]"),
    "1,001 events": lambda c: c.post(b"[" + b",".join([b"1"] * 1001) + b"]"),
    "a gzip body that breaks off": lambda c: c.post(
        gzip.compress(b'{"a":1}')[:-9], content_encoding="gzip"
    ),
    "a bad event in the middle of a batch": lambda c: c.post(BATCH),
    "a byte order mark": lambda c: c.post(b"\xef\xbb\xbf{}"),
    "invalid UTF-8": lambda c: c.post(b'{"a":"\xff"}'),
    "NaN": lambda c: c.post(b'{"a":NaN}'),
    "a trailing comma": lambda c: c.post(b"[1,]"),
    "a leading zero": lambda c: c.post(b'{"a":01}'),
    "two texts where one is asked": lambda c: c.post(b"{} {}"),
    "nesting of 129 levels": lambda c: c.post(b'{"a":' * 129 + b"1" + b"}" * 129),
    "two Host headers": lambda c: c.wire("Host: localhost"),
    "an empty Host header": lambda c: c.wire(host=""),
    "a host of nobody": lambda c: c.wire(host="nobody.example"),
    "bytes that are no HTTP": lambda c: exchange(c.dev, b"HELLO\r\n\r\n"),
    "too many headers": lambda c: c.wire(*(f"x-{n}: 1" for n in range(101))),
    "endless headers": lambda c: c.slowly(HEAD + b"x: " + b"y" * 40_000),
    "endless trailers": lambda c: c.slowly(c.chunked(b"x: y\r\n" * 12_000)),
    "a query over 8 KiB": lambda c: c.post(path="/v1/events?stream=" + "x" * 8192),
    "slow headers": lambda c: c.slowly(HEAD + b"x-slow: "),
    "a slow body": lambda c: c.slowly(
        request("/v1/events", f"Authorization: Bearer {c.keys['server']}", body=b"{}")[:-1]
    ),
    "more requests a second than the limit": lambda c: c.too_often(b"{}", "few"),
    "more bytes a second than the limit": lambda c: c.too_often(big(900), "small"),
}


def reply(answer: httpx.Response) -> Reply:
    return Reply(answer.status_code, dict(answer.headers), answer.content)


def promised() -> dict[str, tuple[int, str]]:
    """The rows of the table in the docs."""
    rows = re.findall(
        r"^\| (.+?) \| (\d{3}) \| `([a-z-]+)` \|$", TABLE.read_text("utf-8"), re.MULTILINE
    )
    return {sent: (int(status), kind) for sent, status, kind in rows}


@pytest.fixture(scope="module")
def caller(dev: Dev) -> Iterator[Caller]:
    caller = Caller(dev)
    yield caller
    caller.http.close()


def test_every_row_of_the_table_is_tested() -> None:
    assert set(promised()) == set(ROWS)


@pytest.mark.parametrize("sent", ROWS)
def test_bad_input_gets_the_answer_that_the_table_promises(caller: Caller, sent: str) -> None:
    answer = ROWS[sent](caller)

    assert (answer.status, answer.problem["type"].rpartition(":")[2]) == promised()[sent]
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.problem["status"] == answer.status
    assert CURE.search(answer.problem["detail"])
    assert ("retry-after" in answer.headers) == (answer.status in {429, 503})
    assert ("www-authenticate" in answer.headers) == (answer.status == 401)  # RFC 9110 11.6.1


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        ("/v1/events", b"[]", "what this route takes, at byte 0: the body holds no event."),
        ("/v1/events", b"", "what this route takes, at byte 0: the body holds no event."),
        ("/v1/raw/events", b"", "what this route takes, at byte 0: the body holds no event."),
        ("/v1/batch", b'{"batch":[]}', "what this route takes, at byte 0: the body holds no ev"),
        ("/v1/batch", b"{}", "what this route takes, at byte 0: no array named batch."),
        ("/v1/track", b"[{}]", "what this route takes, at event 0, byte 0: not a JSON object."),
        (
            "/v1/events",
            b"[0," + b"[" * 129 + b"]" * 129 + b"]",
            "what this route takes, at event 1, byte 131: nested deeper than 128.",
        ),
        ("/v1/events", b"[0,01]", "JSON as RFC 8259 defines it, at event 1, byte 4: a malformed"),
        ("/v1/events", b"[0", "JSON as RFC 8259 defines it, at byte 2: the body ends early."),
    ],
)
def test_only_what_is_no_json_is_called_so(
    caller: Caller, path: str, body: bytes, told: str
) -> None:
    answer = caller.post(body, path=path)

    assert answer.status == 400
    assert answer.problem["detail"].startswith(f"Not {told}")


def test_nothing_of_a_refused_request_was_stored(caller: Caller) -> None:
    answer = caller.post(BATCH)

    assert (answer.problem["event"], answer.problem["offset"]) == (1, BATCH.index(b",}"))
    ids = {event.id for event in caller.dev.tail()}
    assert not ids & {"refused-1", "refused-2", "refused-3"}


@pytest.mark.parametrize(
    "line",
    [
        *("GET /v1/events", "OPTIONS /v1/events", "DELETE /v1/raw/events", "GET /trackmate.js"),
        *("GET /openapi.json", "GET /docs", "GET /healthz", "GET /readyz", "GET /nope"),
        *("OPTIONS /nope", "GET /v1/projects/key/settings"),
    ],
)
@pytest.mark.parametrize("hosts", ["", "Host: \r\n", "Host: a b\r\n", "Host: localhost\r\n" * 2])
def test_without_exactly_one_host_nothing_is_answered(
    caller: Caller, line: str, hosts: str
) -> None:
    answer = exchange(caller.dev, f"{line} HTTP/1.1\r\n{hosts}\r\n".encode())

    assert (answer.status, answer.problem["type"].rpartition(":")[2]) == (400, "bad-request")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "exactly one" in answer.problem["detail"]


@pytest.mark.parametrize("method", ["GET", "OPTIONS", "DELETE", "HEAD"])
@pytest.mark.parametrize("path", ["/v1/events", "/v1/raw/events", "/trackmate.js"])
def test_a_host_of_nobody_has_no_route_of_an_affiliate_by_any_method(
    caller: Caller, method: str, path: str
) -> None:
    answer = caller.http.request(method, path, headers={"host": "nobody.example"})

    assert answer.status_code == 421
    assert answer.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize("host", ["10.1.2.3:8080", "[fd00::1]:8080", "nobody.example"])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_probes_are_answered_under_any_host(
    caller: Caller, path: str, version: str, host: str
) -> None:
    asked = f"GET {path} HTTP/{version}\r\nHost: {host}\r\n\r\n".encode()

    assert exchange(caller.dev, asked).status == 200


def test_an_offer_of_another_protocol_is_passed_over(caller: Caller) -> None:
    """As curl --http2 and Java's client send it: the body comes behind it all the same."""
    offered = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk")
    body = b'{"messageId":"offered","text":"\\r\\nUpgrade: h2c"}'

    assert caller.wire("Content-Type: application/json", *offered, body=body).status == 200
    [stored] = [event.value for event in caller.dev.tail() if event.id == "offered"]
    assert stored == body


def test_many_requests_in_one_packet_are_all_answered(caller: Caller) -> None:
    key = f"Authorization: Bearer {caller.keys['server']}"
    one = request("/v1/events", key, "Content-Type: application/json", body=b"{}")
    with connect(caller.dev) as connection:
        connection.sendall(one * 300 + one[:20])
        with connection.makefile("rb") as stream:
            statuses: list[int] = []
            while len(statuses) < 300:
                line = stream.readline()
                assert line, "closed early"
                if line.startswith(b"HTTP/1.1"):
                    statuses.append(int(line.split()[1]))

    assert statuses == [200] * 300


def test_a_body_in_large_pieces_is_taken(caller: Caller) -> None:
    whole = b"[" + b",".join([big(60_000)] * 8) + b"]"
    pieces = iter([whole[at : at + 100_000] for at in range(0, len(whole), 100_000)])

    assert caller.post(pieces).status == 200


def test_gzip_of_very_many_members_is_refused(caller: Caller) -> None:
    answer = caller.post(gzip.compress(b"") * 17, content_encoding="gzip")

    assert (answer.status, "members" in answer.problem["detail"]) == (400, True)


def test_an_id_with_a_nul_is_an_id_like_any_other(caller: Caller) -> None:
    for _ in range(2):
        assert caller.post(b'{"messageId":"a\\u0000b","nul":1}').status == 200

    books = caller.dev.settle()
    assert books["balanced"]
    assert books["pipelines"][0]["last_error"] == ""
    assert "e::events::a\0b" in caller.dev.documents()


def test_half_a_body_stores_nothing(caller: Caller) -> None:
    key = f"Authorization: Bearer {caller.keys['server']}"
    whole = request("/v1/events", key, body=b'{"messageId":"half"}')
    with connect(caller.dev) as connection:
        connection.sendall(whole[:-1])

    assert caller.post(b'{"messageId":"whole"}').status == 200
    ids = {event.id for event in caller.dev.tail()}
    assert "whole" in ids
    assert "half" not in ids


def test_headers_of_the_platform_never_pass(caller: Caller) -> None:
    mine = {"tm_id": "forged", "tm_key": "forged", "tm_type": "forged", "tm_ip": "6.6.6.6"}
    assert caller.post(b'{"messageId":"mine"}', **mine).status == 200

    caller.dev.settle()
    document = json.loads(caller.dev.documents()["e::events::mine"])
    assert document["tm"]["id"] == "mine"
    assert "forged" not in json.dumps(document)
    assert "6.6.6.6" not in json.dumps(document)


@pytest.mark.parametrize(
    ("key", "status"), [("web", 200), ("old-web", 401), ("server", 401), ("nobody", 401)]
)
def test_segments_settings_are_there_for_a_browser_key_that_opens_something(
    caller: Caller, key: str, status: int
) -> None:
    answer = caller.http.get(f"/v1/projects/{caller.keys.get(key, key)}/settings")
    assert answer.status_code == status
    assert ("www-authenticate" in answer.headers) == (status == 401)


def test_a_key_in_an_address_reaches_no_log(caller: Caller) -> None:
    web = caller.keys["web"]
    assert caller.post(key=None, path=f"/v1/events?key={web}").status == 200
    caller.post(key=None, path=f"/v1/events?key={web}", origin="https://evil.example")
    caller.http.get(f"/v1/projects/{web}x/settings")

    shown = caller.dev.log.replace("-H 'Authorization: Bearer", "")
    started, _, logged = shown.partition("Then look")
    assert "Trackmate runs" in started
    assert "evil.example" in logged
    assert web not in logged


def test_a_refused_flood_does_not_flood_the_log(caller: Caller) -> None:
    before = caller.dev.log.count('"refused"')
    began = time.monotonic()
    for _ in range(300):
        caller.post(key="tmw_wrong")

    logged = caller.dev.log.count('"refused"') - before
    assert 0 < logged <= 20 * (time.monotonic() - began + 2)
    assert logged < 300
