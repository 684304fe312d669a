"""
What a newcomer sees first, in a real Chromium on a real instance: a click in the demo shop is an
event in the store, and the console shows it live with its exact bytes.

The pages by themselves, in every state, are tested in `tests/cli/test_pages.py`.
"""

import json
import time
from collections.abc import Iterator
from hashlib import sha256
from typing import Any
from uuid import uuid4

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Error, Page, expect

from browser import complaints, visitor
from loopback import LOOPBACK
from running import Dev

# What the page says that it sent, kept where it outlives the page: the last is said as it goes.
REMEMBER = """
document.addEventListener('trackmate', ({ detail: { body } }) => {
  localStorage.setItem(`said.${JSON.parse(body).messageId}`, body);
});
"""
SAID = """Object.entries(localStorage)
  .filter(([name]) => name.startsWith('said.')).map(([, body]) => body)"""

pytestmark = pytest.mark.needs("chromium")


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    with visitor(browser) as context:
        context.add_init_script(REMEMBER)
        yield context


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A page that ends without a complaint: no error, no broken policy, nothing not found."""
    page = context.new_page()
    heard = complaints(page)
    yield page
    assert heard == []


def shop(page: Page, dev: Dev) -> None:
    page.goto(f"{dev.url}/demo")
    page.get_by_role("button", name="View Four days in Lisbon").click()
    page.get_by_role("button", name="Add to cart").click()
    page.get_by_role("button", name="Check out").click()
    page.get_by_role("button", name="Book it").click()
    page.get_by_role("button", name="Lovely").click()
    page.locator("#search-text").fill("sea")
    page.keyboard.press("Enter")
    page.locator("#newsletter-email").fill("ada@example.com")
    page.keyboard.press("Enter")
    expect(page.locator(".state[data-state=stored]")).to_have_count(7)


def said(page: Page) -> dict[str, bytes]:
    """The bodies of the events that the shop says it sent, by their messageIds."""
    bodies = [body.encode() for body in page.evaluate(SAID)]
    return {json.loads(body)["messageId"]: body for body in bodies}


def stored(dev: Dev, ids: set[str], *, seconds: float = 10) -> dict[str, bytes]:
    """The events of these ids, once each has its document: a beacon takes its time."""
    deadline = time.monotonic() + seconds
    while missing := {f"e::events::{id_}" for id_ in ids} - dev.documents().keys():
        assert time.monotonic() < deadline, f"not stored after {seconds} s: {missing}"
        time.sleep(0.05)
    return {event.id: event.value for event in dev.tail() if event.id in ids}


def named(bodies: dict[str, bytes]) -> list[str]:
    events: list[Any] = [json.loads(body) for body in bodies.values()]
    return sorted(event.get("event", event["type"]) for event in events)


SHOPPING = [
    "Added To Cart",
    "Booking Completed",
    "Checkout Started",
    "Offer Viewed",
    "Page Left",
    "Search",
    "identify",
    "page",
]


def test_all_that_the_shop_sends_is_stored_byte_by_byte(dev: Dev, page: Page) -> None:
    shop(page, dev)
    page.goto(f"{dev.url}/")
    bodies = said(page)
    assert named(bodies) == SHOPPING
    assert stored(dev, set(bodies)) == bodies
    assert dev.settle()["balanced"]


def test_closing_the_page_loses_nothing(dev: Dev, context: BrowserContext) -> None:
    leaving = context.new_page()
    shop(leaving, dev)
    leaving.close()
    beside = context.new_page()
    beside.goto(f"{dev.url}/")
    bodies = said(beside)
    assert named(bodies) == SHOPPING
    assert stored(dev, set(bodies)) == bodies


def send(dev: Dev, event: str) -> None:
    headers = {"Authorization": f"Bearer {dev.key('server')}", "Content-Type": "application/json"}
    with httpx.Client(**LOOPBACK) as client:
        answer = client.post(f"{dev.url}/v1/events", headers=headers, content=event.encode())
    assert answer.status_code == 200, answer.text


def test_the_console_shows_an_event_as_it_arrives_and_its_exact_bytes(dev: Dev, page: Page) -> None:
    event = f'{{ "event":  "Café",  "messageId":"{uuid4()}", "n": 9007199254740993123, "n":1.0}}'
    page.goto(f"{dev.url}/")
    expect(page.locator("#connection")).to_have_text("Live")
    send(dev, event)
    row = page.locator(".row", has_text="Café")
    row.click()
    assert page.locator(".sheet").first.inner_text() == event
    detail = page.locator("#detail")
    expect(detail).to_contain_text(sha256(event.encode()).hexdigest())
    expect(detail).to_contain_text("It is that of the bytes shown")


@pytest.mark.parametrize("path", ["/", "/demo"])
def test_a_page_runs_no_text_as_script_and_calls_nobody_else(
    dev: Dev, context: BrowserContext, path: str
) -> None:
    page = context.new_page()
    heard = complaints(page)
    page.goto(f"{dev.url}{path}")
    with pytest.raises(Error, match="TrustedScript"):
        page.evaluate("document.body.setAttribute('onclick', 'alert()')")
    page.evaluate("fetch('http://127.0.0.1:9/').catch(() => {})")
    assert any("Content Security Policy directive: \"connect-src 'self'\"" in one for one in heard)
