"""
The sink `http` against a real backend: what it sends, what each answer means, and how it bears a
backend that is slow, broken or lying.
"""

import asyncio
import gzip
import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import trustme

from handing import RUNNERS, event, fault, hand, http_sink, opened
from receiver import Answer, Receiver, Request, receiving
from trackmate_consume.ledger import Outcome
from trackmate_consume.sink import Disabled, Down, Refused, Unfit
from trackmate_consume.sinks.http import HttpSink

PAGE = (Path(__file__).parents[2] / "docs" / "sinks-http.md").read_text("utf-8")
CANARY = "canary-4f1d9a7c"
HEADER_REF = {"valueFrom": {"secretKeyRef": {"name": "crm", "key": "token"}}}
SIGNING = {"secretRef": {"name": "crm", "key": "signing"}}


@pytest.fixture(params=sorted(RUNNERS))
def run(request: pytest.FixtureRequest) -> Callable[..., Any]:
    return RUNNERS[request.param]


@pytest.fixture
def backend() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def answering(backend: Receiver, answer: Answer) -> None:
    backend.answering = lambda _: answer


def refusal(backend: Receiver, **spec: Any) -> Exception:
    """What the sink makes of the backend's answer to one event."""
    return asyncio.run(fault(hand(http_sink({"url": backend.url, **spec}))))


# what is sent


def test_a_document_is_the_body_byte_for_byte(backend: Receiver, run: Callable[..., Any]) -> None:
    document = b'{"order": 1234567890123456789,  "x": 1.10}'

    run(hand(http_sink({"url": f"{backend.url}/hooks?a=%2F&b=c+d"}), event("order-1", document)))

    [request] = backend.requests
    assert (request.method, request.path) == ("POST", "/hooks?a=%2F&b=c+d")
    assert request.body == document
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"] == f"Trackmate/{version('trackmate-consume')}"
    assert request.headers["accept-encoding"] == "identity"
    assert request.id == "order-1"
    assert abs(int(request.headers["webhook-timestamp"]) - time.time()) < 60
    assert "webhook-signature" not in request.headers


def test_method_and_headers_are_as_declared(backend: Receiver) -> None:
    headers = [
        {"name": "x-region", "value": "eu"},
        {"name": "Authorization", **HEADER_REF},
        {"name": "content-type", "value": "application/vnd.crm+json"},
    ]
    spec = {"url": backend.url, "method": "PUT", "headers": headers}

    asyncio.run(hand(http_sink(spec, secrets={"token": "Bearer abc"})))

    [request] = backend.requests
    assert request.method == "PUT"
    assert request.headers["x-region"] == "eu"
    assert request.headers["authorization"] == "Bearer abc"
    assert request.headers["content-type"] == "application/vnd.crm+json"


def test_every_document_is_a_request_with_an_id_of_its_own(backend: Receiver) -> None:
    batch = [event("a", b"1", b"2"), event("b", b"3")]

    asyncio.run(hand(http_sink({"url": backend.url}), *batch))

    sent = [(request.id, request.body) for request in backend.requests]
    assert sent == [("a", b"1"), ("a~1", b"2"), ("b", b"3")]


def test_a_batch_is_one_request(backend: Receiver) -> None:
    sink = http_sink({"url": backend.url}, batched=True)

    async def write() -> list[Outcome]:
        async with opened(sink):
            return list(await sink.write([event("a", b"1", b"2"), event("b", b"3")]))

    assert asyncio.run(write()) == [Outcome.DELIVERED, Outcome.DELIVERED]
    [request] = backend.requests
    assert request.body == b"[1,2,3]"
    assert request.headers["content-type"] == "application/json"


def test_the_id_of_a_batch_is_the_same_when_it_is_sent_again(backend: Receiver) -> None:
    for ids in ("ab", "ab", "ba", "a"):
        sink = http_sink({"url": backend.url}, batched=True)
        asyncio.run(hand(sink, *[event(one) for one in ids]))

    first, again, *others = [request.id for request in backend.requests]
    assert first == again
    assert len({first, *others}) == 3


def test_a_batch_of_csv_is_parted_where_the_columns_change(backend: Receiver) -> None:
    sink = http_sink({"url": backend.url}, form="csv", batched=True)

    batch = [event(n, n.encode(), head=head) for n, head in [("1", b"a"), ("2", b"a"), ("3", b"b")]]

    asyncio.run(hand(sink, *batch))

    assert [request.body for request in backend.requests] == [b"a\r\n1\r\n2\r\n", b"b\r\n3\r\n"]
    one, two = [request.id for request in backend.requests]
    assert two == f"{one}~1"


def test_a_body_of_many_megabytes_arrives_whole(backend: Receiver) -> None:
    document = b'"%b"' % (b"x" * (5 << 20))

    asyncio.run(hand(http_sink({"url": backend.url}), event("large", document)))

    assert backend.requests[0].body == document


def test_connections_are_kept(backend: Receiver, run: Callable[..., Any]) -> None:
    run(hand(http_sink({"url": backend.url}), *[event(str(n)) for n in range(20)]))

    assert len(backend.requests) == 20
    assert backend.connections == 1


def test_cookies_are_not_kept(backend: Receiver) -> None:
    answering(backend, Answer(headers={"Set-Cookie": "session=1; Path=/"}))
    url = f"http://localhost:{backend.port}/"  # clients keep none of an address anyway

    asyncio.run(hand(http_sink({"url": url}), event("a"), event("b")))

    assert ["cookie" in request.headers for request in backend.requests] == [False, False]


def test_the_proxies_of_the_environment_are_not_used(
    backend: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with receiving() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        asyncio.run(hand(http_sink({"url": backend.url})))

        assert (len(backend.requests), proxy.connections) == (1, 0)


def test_requests_keep_to_their_rate_without_a_busy_loop(backend: Receiver) -> None:
    sink = http_sink({"url": backend.url, "requestsPerSecond": 100, "concurrency": 4})

    async def write() -> tuple[float, float]:
        async with opened(sink):
            began, worked = time.monotonic(), time.process_time()
            await asyncio.gather(*[sink.write([event(str(n))]) for n in range(50)])
            return time.monotonic() - began, time.process_time() - worked

    took_s, worked_s = asyncio.run(write())
    assert took_s >= 0.47  # 50 turns 10 ms apart; the first may be 10 ms early
    assert len(backend.requests) == 50
    assert worked_s < took_s


# what answers mean


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_2xx_is_delivered(backend: Receiver, status: int) -> None:
    answering(backend, Answer(status))

    asyncio.run(hand(http_sink({"url": backend.url})))

    assert len(backend.requests) == 1


@pytest.mark.parametrize("status", [400, 402, 406, 409, 411, 413, 415, 422, 431, 451, 499])
def test_an_answer_about_the_event_refuses_it(backend: Receiver, status: int) -> None:
    answering(backend, Answer(status, body=b"no such user"))

    said = refusal(backend)

    assert isinstance(said, Refused)
    assert str(said) == f"answered {status}: no such user"


@pytest.mark.parametrize(
    "status", [408, 425, 429, 500, 502, 503, 504, 599, 401, 403, 404, 405, 407, 301, 302, 307, 308]
)
def test_an_answer_about_the_backend_or_the_declaration_is_an_outage(
    backend: Receiver, status: int
) -> None:
    answering(backend, Answer(status))

    said = refusal(backend)

    assert isinstance(said, Down)
    assert str(said).startswith(f"answered {status}")


def test_410_disables(backend: Receiver) -> None:
    answering(backend, Answer(410, body=b"gone"))

    assert isinstance(refusal(backend), Disabled)


def test_a_redirect_is_not_followed(backend: Receiver) -> None:
    with receiving() as elsewhere:
        answering(backend, Answer(307, {"Location": f"{elsewhere.url}/?token={CANARY}"}))

        said = refusal(backend)

        assert str(said) == (
            "answered 307: redirects are not followed; write the URL that it leads to"
        )
        assert elsewhere.connections == 0


@pytest.mark.parametrize(
    ("value", "wait_s"),
    [
        ("0", None),
        ("7", 7),
        (" 120 ", 120),
        ("86400", 3600),
        ("9" * 400, None),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("Thu, 32 Foo 2026", None),
        ("Thu, 01 Jan 1970 00:00:10 GMT", None),
        ("", None),
    ],
)
def test_retry_after_is_heard(backend: Receiver, value: str, wait_s: float | None) -> None:
    answering(backend, Answer(503, {"Retry-After": value}))

    said = refusal(backend)

    assert isinstance(said, Down)
    assert said.after_s == wait_s


def test_retry_after_may_be_a_date(backend: Receiver) -> None:
    at = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    answering(backend, Answer(429, {"Retry-After": at}))

    said = refusal(backend)

    assert isinstance(said, Down)
    assert 50 < (said.after_s or 0) <= 100


def test_a_message_has_what_can_be_seen_of_the_answer_and_not_more(backend: Receiver) -> None:
    hostile = b"bad\r\n\x1b[2J\x00 \xe2\x80\xaeevil \xff" + b"x" * 10_000
    answering(backend, Answer(400, body=hostile))

    said = str(refusal(backend))

    assert said.startswith("answered 400: bad [2J evil �xxx")
    assert said.isprintable()
    assert len(said) == len("answered 400: ") + 200


def test_what_a_backend_repeats_of_our_secrets_is_not_said(backend: Receiver) -> None:
    """Some echo the request, or a part of it; this one does, in an error."""

    def echo(request: Request) -> Answer:
        token = request.headers["authorization"].removeprefix("Bearer ")
        said = f"{token} {request.headers['x-key']} {request.path}"
        return Answer(400, body=said.encode())

    backend.answering = echo
    headers = [{"name": "Authorization", **HEADER_REF}, {"name": "x-key", "value": f"k{CANARY}"}]
    sink = http_sink(
        {"url": f"{backend.url}/?token=q{CANARY}", "headers": headers, "signing": SIGNING},
        secrets={"token": f"Bearer {CANARY}", "signing": CANARY * 3},
    )

    said = asyncio.run(fault(hand(sink)))

    assert backend.requests[0].headers["authorization"] == f"Bearer {CANARY}"
    assert isinstance(said, Refused)
    assert CANARY not in str(said)
    assert CANARY not in repr(vars(sink)).replace(f"?token=q{CANARY}", "")  # as declared


def test_a_compressed_answer_is_not_unpacked(backend: Receiver) -> None:
    bomb = gzip.compress(bytes(50 << 20))
    answering(backend, Answer(400, {"Content-Encoding": "gzip"}, bomb))

    assert str(refusal(backend)) == "answered 400"

    answering(backend, Answer(200, {"Content-Encoding": "gzip"}, b"this is none"))
    asyncio.run(hand(http_sink({"url": backend.url})))


def test_of_a_long_answer_the_beginning_is_enough(backend: Receiver) -> None:
    answering(backend, Answer(200, body=b"x" * (32 << 20)))

    asyncio.run(hand(http_sink({"url": backend.url}), event("a"), event("b")))

    assert [request.id for request in backend.requests] == ["a", "b"]
    assert backend.connections == 2


# Elasticsearch's _bulk, which answers 200 whatever became of the documents


def bulk(status: int) -> bytes:
    error = {"type": "mapper_parsing_exception", "reason": f"cannot read [{CANARY[:4]}]"}
    items = [{"index": {"status": 201}}, {"index": {"status": status, "error": error}}]
    return json.dumps({"took": 1, "errors": True, "items": items}).encode()


@pytest.mark.parametrize(
    ("body", "kind"),
    [(bulk(400), Refused), (bulk(429), Down), (bulk(503), Down), (b"", Down), (b"{}", Down)],
)
def test_a_bulk_answer_is_read_for_its_errors(
    backend: Receiver, body: bytes, kind: type[Exception]
) -> None:
    answering(backend, Answer(200, body=body))

    said = asyncio.run(fault(hand(http_sink({"url": f"{backend.url}/_bulk?x=1"}, batched=True))))

    assert isinstance(said, kind)


def test_a_bulk_answer_without_errors_is_delivered(backend: Receiver) -> None:
    answering(backend, Answer(200, body=b'{"took":1,"errors":false,"items":[]}'))

    asyncio.run(hand(http_sink({"url": f"{backend.url}/logs/_bulk"}, batched=True)))

    assert len(backend.requests) == 1


# backends that are slow or broken


@pytest.mark.parametrize(
    "answer",
    [
        Answer(after_s=60),
        Answer(body=b"x" * 60, a_byte_every_s=0.5),
    ],
    ids=["first byte after a minute", "a byte at a time"],
)
def test_the_deadline_is_for_the_whole_answer(
    backend: Receiver, answer: Answer, run: Callable[..., Any]
) -> None:
    answering(backend, answer)
    began = time.monotonic()

    said = run(fault(hand(http_sink({"url": backend.url, "timeout": "1s"}))))

    assert isinstance(said, Down)
    assert str(said) == "no whole answer within 1 s"
    assert time.monotonic() - began < 10


def test_a_reset_is_an_outage(backend: Receiver, run: Callable[..., Any]) -> None:
    answering(backend, Answer(reset=True))

    said = run(fault(hand(http_sink({"url": backend.url}))))

    assert isinstance(said, Down)
    assert str(said) == "the connection was closed before the answer"


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "what was answered is not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", "the answer broke off"),
        (b"", "the connection was closed before the answer"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 100_000, "what was answered is not HTTP"),
    ],
    ids=["no HTTP", "half an answer", "nothing", "endless header"],
)
def test_a_broken_answer_is_an_outage(backend: Receiver, raw: bytes, words: str) -> None:
    answering(backend, Answer(raw=raw))

    said = refusal(backend)

    assert isinstance(said, Down)
    assert str(said) == words


def test_a_port_without_a_backend_is_an_outage(backend: Receiver, run: Callable[..., Any]) -> None:
    with receiving() as gone:
        url = gone.url

    said = run(fault(hand(http_sink({"url": url}))))

    assert isinstance(said, Down)
    assert str(said) == "cannot be connected to: connection refused"


def test_a_silent_name_server_is_an_outage_of_its_own(
    run: Callable[..., Any],
) -> None:
    async def unanswered(host: str) -> list[str]:
        raise socket.gaierror(socket.EAI_AGAIN, "try again")

    said = run(fault(hand(http_sink({"url": "https://crm.example/"}, lookup=unanswered))))

    assert isinstance(said, Down)
    assert str(said) == "the name server does not answer, asked for 'crm.example'"


def test_closing_ends_what_is_under_way(backend: Receiver, run: Callable[..., Any]) -> None:
    answering(backend, Answer(after_s=60))
    sink = http_sink({"url": backend.url})

    async def close() -> Exception:
        await sink.open()
        writing = asyncio.create_task(fault(sink.write([event("a")])))
        await asyncio.to_thread(backend.wait_for, 1)
        await sink.close()
        await sink.close()
        return await writing

    assert isinstance(run(close()), Down)


def test_a_cancelled_write_leaves_a_sink_that_writes(
    backend: Receiver, run: Callable[..., Any]
) -> None:
    answering(backend, Answer(after_s=60))
    sink = http_sink({"url": backend.url, "concurrency": 1})

    async def cancel() -> None:
        async with opened(sink):
            writing = asyncio.create_task(sink.write([event("a")]))
            await asyncio.to_thread(backend.wait_for, 1)
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            answering(backend, Answer())
            await sink.write([event("b")])

    run(cancel())
    assert [request.id for request in backend.requests] == ["a", "b"]


def test_a_sink_can_be_opened_again(backend: Receiver) -> None:
    sink = http_sink({"url": backend.url})

    async def twice() -> None:
        await sink.open()
        await hand(sink)

    asyncio.run(twice())
    assert len(backend.requests) == 1


# TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def served(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def pem(authority: trustme.CA) -> dict[str, str]:
    return {"ca.crt": authority.cert_pem.bytes().decode()}


def trusting(url: str, secrets: dict[str, str]) -> HttpSink:
    tls = {"caSecretRef": {"name": "crm", "key": "ca.crt"}}
    return http_sink({"url": url, "tls": tls}, secrets=secrets)


def test_an_authority_of_a_secret_is_trusted(
    authority: trustme.CA, run: Callable[..., Any]
) -> None:
    with receiving(tls=served(authority.issue_cert("127.0.0.1"))) as backend:
        run(hand(trusting(backend.url, pem(authority))))

        assert len(backend.requests) == 1


def test_a_faulty_certificate_is_an_outage_in_words(
    authority: trustme.CA, run: Callable[..., Any]
) -> None:
    now = datetime.now(UTC)
    expired = authority.issue_cert(
        "127.0.0.1", not_before=now - timedelta(days=9), not_after=now - timedelta(days=1)
    )
    early = authority.issue_cert("127.0.0.1", not_before=now + timedelta(days=1))
    faults = {
        "its certificate has expired": expired,
        "its certificate is not valid yet": early,
        "its certificate is for another address": authority.issue_cert("192.0.2.1"),
        "its certificate is from an unknown authority; put that into tls.caSecretRef to trust it": (
            trustme.CA().issue_cert("127.0.0.1")
        ),
    }
    for words, certificate in faults.items():
        with receiving(tls=served(certificate)) as backend:
            said = run(fault(hand(trusting(backend.url, pem(authority)))))

            assert isinstance(said, Down)
            assert str(said) == words
            assert backend.requests == []


def test_a_name_is_what_the_certificate_must_have(
    authority: trustme.CA, run: Callable[..., Any]
) -> None:
    """The connection goes to an address; TLS and `Host` are about the name."""
    with receiving(tls=served(authority.issue_cert("other.example"))) as backend:
        url = f"https://localhost:{backend.port}"
        said = run(fault(hand(trusting(url, pem(authority)))))
        assert str(said) == "its certificate is for another name"

    with receiving(tls=served(authority.issue_cert("localhost"))) as backend:
        run(hand(trusting(f"https://localhost:{backend.port}/", pem(authority))))
        assert backend.requests[0].headers["host"] == f"localhost:{backend.port}"


def test_https_to_a_port_of_http_is_an_outage(backend: Receiver, run: Callable[..., Any]) -> None:
    said = run(fault(hand(http_sink({"url": backend.url.replace("http:", "https:")}))))

    assert isinstance(said, Down)
    assert str(said) == "no TLS connection came about; is this a port for https?"


# declarations that cannot work


def unfit(spec: dict[str, Any], secrets: dict[str, str] | None = None) -> Unfit:
    sink = http_sink({"url": "http://127.0.0.1:9", **spec}, secrets=secrets)
    raised = asyncio.run(fault(sink.open()))
    assert isinstance(raised, Unfit)
    return raised


def test_a_missing_secret_is_said_with_its_path() -> None:
    said = unfit({"headers": [{"name": "a", "value": "b"}, {"name": "x-key", **HEADER_REF}]})

    assert said.path == "spec.sink.http.headers[1].valueFrom.secretKeyRef"
    assert str(said) == (
        "there is no Secret 'crm' with a key 'token' in the affiliate's namespace; add it"
    )
    assert unfit({"signing": SIGNING}).path == "spec.sink.http.signing.secretRef"


def test_a_secret_that_appears_makes_the_sink_fit(backend: Receiver) -> None:
    secrets: dict[str, str] = {}
    spec = {"url": backend.url, "headers": [{"name": "x-key", **HEADER_REF}]}
    sink = http_sink(spec, secrets=secrets)

    async def later() -> None:
        assert isinstance(await fault(sink.open()), Unfit)
        secrets["token"] = "abc"
        await hand(sink)

    asyncio.run(later())
    assert backend.requests[0].headers["x-key"] == "abc"


@pytest.mark.parametrize(
    "value", [f"{CANARY}\n", f"a\r\nx-admin: {CANARY}", f" {CANARY}", f"{CANARY}\0", "clé", ""]
)
def test_a_secret_that_is_no_header_is_said_without_it(value: str) -> None:
    said = unfit({"headers": [{"name": "x-key", **HEADER_REF}]}, {"token": value})

    assert said.path == "spec.sink.http.headers[0].valueFrom.secretKeyRef"
    assert "'crm' has under 'token' cannot be a header's value" in str(said)
    assert CANARY not in str(said)


@pytest.mark.parametrize("value", ["", "canary", "whsec_canary!canary!canary!canary!canary"])
def test_a_signing_secret_that_is_none_is_said_without_it(value: str) -> None:
    said = unfit({"signing": SIGNING}, {"signing": value})

    assert said.path == "spec.sink.http.signing.secretRef"
    assert "put 24 random bytes or more" in str(said)
    assert "canary" not in str(said)


@pytest.mark.parametrize(
    "value",
    ["", CANARY, f"-----BEGIN CERTIFICATE-----\n{CANARY}\n-----END CERTIFICATE-----\n", "é"],
)
def test_an_authority_that_is_none_is_said_without_it(value: str) -> None:
    said = unfit({"tls": {"caSecretRef": {"name": "crm", "key": "ca.crt"}}}, {"ca.crt": value})

    assert said.path == "spec.sink.http.tls.caSecretRef"
    assert "is not a certificate in PEM" in str(said)
    assert CANARY not in str(said)


@pytest.mark.parametrize(
    "url",
    [
        f"http://127.0.0.1:99999/?token={CANARY}",
        f"http://1.2.3.4.5/?token={CANARY}",
        f"http://[:::]/?token={CANARY}",
        f"http://300.1.2.3/?token={CANARY}",
        f"http://xn--a/?token={CANARY}",
    ],
)
def test_a_url_that_is_none_is_said_without_its_query(url: str) -> None:
    said = unfit({"url": url})

    assert said.path == "spec.sink.http.url"
    assert f"{url.partition('?')[0]!r} is not a URL" in str(said)
    assert CANARY not in str(said)


def test_an_address_is_written_as_addresses_are() -> None:
    said = unfit({"url": "http://127.1:9/"})

    assert said.path == "spec.sink.http.url"
    assert str(said) == "'127.1' is an address in disguise; write '127.0.0.1'"


@pytest.mark.parametrize(
    ("spec", "secrets"),
    [
        ({"headers": [{"name": "x-key", **HEADER_REF}]}, {}),
        ({"headers": [{"name": "x-key", **HEADER_REF}]}, {"token": "abc\n"}),
        ({"signing": SIGNING}, {"signing": "abc"}),
        ({"tls": {"caSecretRef": {"name": "crm", "key": "ca"}}}, {"ca": "abc"}),
        ({"url": "http://10.0.0.1/hooks"}, {}),
        ({"url": "https://crm.acme.example:9200/"}, {}),
    ],
)
def test_the_page_says_what_is_told(spec: dict[str, Any], secrets: dict[str, str]) -> None:
    sink = http_sink({"url": "https://crm.acme.example/", **spec}, secrets=secrets, allowed=())

    said = asyncio.run(fault(sink.open()))

    assert isinstance(said, Unfit)
    assert f"| `{said.path}`: {said} |" in PAGE
