"""
Signatures as receivers check them, by the scheme's own package; and ids that nobody can forge.
"""

import asyncio
from base64 import b64encode
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from handing import event, hand, http_sink
from receiver import Request, receiving
from trackmate_consume.sinks.signing import signer_of
from trackmate_consume.sinks.webhook_ids import batch_id, event_id

OLD = "whsec_" + b64encode(b"the key that is replaced by new").decode()
NEW = "whsec_" + b64encode(bytes(range(1, 65))).decode()
RAW = "thirty characters, not base64!".replace(" ", "_").replace(",", "")


def signed(secret: str, document: bytes = b'{"total": 1.10}') -> Request:
    """A request as it came, of an event that was signed with this Secret."""
    signing = {"secretRef": {"name": "crm", "key": "signing"}}
    with receiving() as backend:
        sink = http_sink({"url": backend.url, "signing": signing}, secrets={"signing": secret})
        asyncio.run(hand(sink, event("order.1", document)))
        return backend.requests[0]


def verify(request: Request, secret: str | bytes, **changed: str) -> None:
    """As a receiver does; raises where the request is not what was signed."""
    Webhook(secret).verify(request.body, {**request.headers, **changed}, json_parse=False)


@pytest.mark.parametrize("secret", [OLD, OLD.rstrip("="), f"{OLD}\n"])
def test_a_receiver_verifies_what_was_signed(secret: str) -> None:
    verify(signed(secret), OLD)


def test_any_text_may_be_the_key() -> None:
    verify(signed(RAW), RAW.encode())


@pytest.mark.parametrize("between", [" ", ",", ", ", "\n"])
def test_while_keys_are_replaced_either_verifies(between: str) -> None:
    request = signed(f"{OLD}{between}{NEW}")

    assert len(request.headers["webhook-signature"].split(" ")) == 2
    verify(request, OLD)
    verify(request, NEW)


def test_what_is_changed_does_not_verify() -> None:
    request = signed(OLD)
    verify(request, OLD)

    with pytest.raises(WebhookVerificationError):
        verify(request, NEW)
    with pytest.raises(WebhookVerificationError):
        verify(request, OLD, **{"webhook-id": "order.2"})
    later = str(int(request.headers["webhook-timestamp"]) + 1)
    with pytest.raises(WebhookVerificationError):
        verify(request, OLD, **{"webhook-timestamp": later})
    with pytest.raises(WebhookVerificationError):
        verify(Request("POST", "/", request.headers, request.body + b" "), OLD)


def test_bytes_that_are_no_json_are_signed_as_they_are() -> None:
    verify(signed(OLD, b"caf\xc3\xa9\r\n \xe2\x80\xae"), OLD)


def test_the_vector_of_the_scheme_holds() -> None:
    """libraries/python/tests/test_webhooks.py of standard-webhooks: the function `sign` works."""
    signer = signer_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")

    found = signer.signatures("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')

    assert found == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@given(st.binary(min_size=24, max_size=64), st.binary(max_size=200), st.integers(0, 2**33))
def test_signatures_are_those_of_the_package(key: bytes, body: bytes, at: int) -> None:
    secret = f"whsec_{b64encode(key).decode()}"
    text = body.decode("latin-1")

    ours = signer_of(secret).signatures("msg_1", at, text.encode())

    assert ours == Webhook(secret).sign("msg_1", datetime.fromtimestamp(at, UTC), text)


def test_keys_are_shown_nowhere() -> None:
    signer = signer_of(RAW)

    assert RAW not in repr(signer)
    assert RAW not in str(signer)


# ids

IDS = st.text(min_size=1, max_size=200) | st.from_regex(r"(tm_)?[a-z0-9.~]{1,70}", fullmatch=True)


def sendable(webhook_id: str) -> bool:
    """As a header, and so that the scheme's `.` parts what is signed in one way alone."""
    return webhook_id.isascii() and webhook_id.isprintable() and not set(webhook_id) & {".", " "}


@given(st.lists(st.tuples(IDS, st.integers(0, 3)), min_size=2, max_size=2, unique=True))
@example([("a", 1), ("a~1", 0)])
@example([("a.b", 0), (event_id("a.b"), 0)])
@example([("a.b", 1), (event_id("a.b", 1), 0)])
@example([("x" * 151, 0), (event_id("x" * 151), 0)])
def test_no_two_documents_have_one_id(documents: list[tuple[str, int]]) -> None:
    one, other = [event_id(record_id, part) for record_id, part in documents]

    assert one != other
    assert sendable(one)


@given(st.lists(st.lists(IDS, min_size=1, max_size=4), min_size=2, max_size=2, unique_by=tuple))
@example([["a", "b"], ["ab"]])
@example([["a", "b"], ["a:b"]])
def test_no_two_batches_have_one_id(batches: list[list[str]]) -> None:
    one, other = [batch_id(ids) for ids in batches]

    assert one != other
    assert sendable(one)


@given(IDS)
def test_a_batch_of_one_is_not_its_event(record_id: str) -> None:
    assert batch_id([record_id]) != event_id(record_id)


def test_an_id_with_a_lone_surrogate_has_a_webhook_id() -> None:
    assert sendable(event_id("\ud800"))
    assert sendable(batch_id(["\ud800"]))


@pytest.mark.parametrize(
    "usual",
    [
        "0190f5e3-7c1a-7b2d-9c3e-0123456789ab",
        "01J9ZQ3V7K8M4N5P6R7S8T9V0W",
        "ajs-next-1790-abc",
        "1",
    ],
)
def test_usual_ids_stay_as_they_are(usual: str) -> None:
    assert event_id(usual) == usual
