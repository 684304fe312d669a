"""
The insights page in a real Chromium on a real `trackmate dev`: figures come as events come, each
line of a ranking narrows what is asked, a funnel is built by hand, and a link shows it again.
"""

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from browser import visitor
from running import ACME, Dev

StartDev = Callable[..., Dev]

HOSTILE = [
    "<img src=x onerror=window.hacked=1>",
    "</option><script>window.hacked=1</script>",
    "\u202egnol \u0007\u001b[31m",
    "W" * 400,
]

pytestmark = pytest.mark.needs("chromium")


def track(person: str, name: str) -> Any:
    return {"type": "track", "event": name, "userId": person}


def view(person: str, path: str) -> Any:
    return {"type": "page", "userId": person, "context": {"page": {"path": path}}}


def shop(dev: Dev) -> None:
    dev.post(
        *(view(person, "/") for person in ("ann", "ben", "cem", "dan")),
        *(track(person, "Offer Viewed") for person in ("ann", "ben", "cem", "dan")),
        *(track(person, "Added To Cart") for person in ("ann", "ben")),
        track("ann", "Booking Completed"),
    )


def tile(page: Page, title: str) -> Any:
    return page.locator(".tile", has_text=title).locator("dd")


def open_insights(page: Page, dev: Dev, asked: str = "") -> None:
    """Open it and wait until it listens: what is sent from here on must be seen."""
    page.goto(f"{dev.url}/insights{asked}")
    expect(page.locator("#connection")).to_have_text("Live")


def test_figures_come_as_events_come(start_dev: StartDev, page: Page) -> None:
    dev = start_dev()
    open_insights(page, dev)
    expect(tile(page, "Events")).to_have_text("0")
    shop(dev)
    expect(tile(page, "Events")).to_have_text("11")
    expect(tile(page, "People")).to_have_text("4")
    expect(tile(page, "Page views")).to_have_text("4")
    expect(page.locator("#events .name").first).to_have_text("Offer Viewed")
    expect(page.locator("#pages .ranking li")).to_have_count(1)
    expect(page.locator("#time canvas")).to_be_visible()
    expect(page.locator("#time-words")).to_contain_text("At most 11 events")
    dev.post(track("eva", "Offer Viewed"))
    expect(tile(page, "People")).to_have_text("5")


def test_a_line_of_a_ranking_narrows_what_is_asked_and_a_link_shows_it_again(
    start_dev: StartDev, page: Page
) -> None:
    dev = start_dev()
    shop(dev)
    open_insights(page, dev)
    page.locator("#events button", has_text="Added To Cart").click()
    expect(tile(page, "Events")).to_have_text("2")
    expect(page.locator("#event")).to_have_value("Added To Cart")
    page.reload()
    expect(tile(page, "Events")).to_have_text("2")
    pressed = page.locator("#events button[aria-pressed='true']")
    expect(pressed).to_contain_text("Added To Cart")
    pressed.click()
    expect(tile(page, "Events")).to_have_text("11")
    page.locator("#stream").select_option("images")
    expect(tile(page, "Events")).to_have_text("0")
    expect(page.locator("#events")).to_have_text("Nothing in this time.")


def test_a_funnel_is_built_by_hand(start_dev: StartDev, page: Page) -> None:
    dev = start_dev()
    shop(dev)
    open_insights(page, dev)
    expect(page.locator("#funnel-words")).to_have_text("Choose two events or more.")
    page.get_by_label("Step 1", exact=True).select_option("Offer Viewed")
    page.get_by_label("Step 2", exact=True).select_option("Added To Cart")
    figures = page.locator(".step .figures strong")
    expect(figures).to_have_text(["4 people · 100 %", "2 people · 50 %"])
    page.get_by_role("button", name="Add a step").click()
    page.get_by_label("Step 3", exact=True).select_option("Booking Completed")
    expect(figures.nth(2)).to_have_text("1 person · 25 %")
    expect(page.locator("#funnel-words")).to_have_text("25 % of those who begin come to the end.")
    dev.post(track("ben", "Booking Completed"))
    expect(figures.nth(2)).to_have_text("2 people · 50 %")
    page.get_by_role("button", name="Remove step 2").click()
    expect(figures).to_have_text(["4 people · 100 %", "2 people · 50 %"])
    assert "step=Offer+Viewed&step=Booking+Completed" in page.url
    page.get_by_role("button", name="Add a step").click()
    page.get_by_role("button", name="Remove step 3").click()
    expect(page.locator(".step")).to_have_count(2)
    expect(page.get_by_label("Step 2", exact=True)).to_be_focused()


def test_a_late_answer_to_another_question_says_nothing(
    start_dev: StartDev, browser: Browser
) -> None:
    dev = start_dev()
    late: list[Route] = []
    asked = "**/insights/totals?*"
    with visitor(browser) as context:
        page = context.new_page()
        page.route(asked, lambda route: late.append(route), times=1)  # noqa: PLW0108 - looked into
        with page.expect_request(asked):
            page.goto(f"{dev.url}/insights")
        page.locator("#range").select_option("7d")
        expect(tile(page, "Events")).to_have_text("0")
        page.evaluate(
            "new MutationObserver(() => { window.said = true; })"
            ".observe(document.getElementById('unanswered'), { childList: true })"
        )
        with page.expect_response(lambda response: response.status == 422):
            late[0].fulfill(json={"detail": "too late"}, status=422)
        dev.post(track("eva", "Offer Viewed"))
        expect(tile(page, "Events")).to_have_text("1")
        assert page.evaluate("window.said") is None


def test_a_time_of_ones_own_is_asked_for_once_it_is_whole(start_dev: StartDev, page: Page) -> None:
    dev = start_dev()
    shop(dev)
    open_insights(page, dev)
    page.locator("#range").select_option("own")
    expect(page.locator("#unanswered")).to_have_text("Say from when to when.")
    page.locator("#from").fill("2026-01-02T00:00")
    page.locator("#to").fill("2026-01-01T00:00")
    expect(page.locator("#unanswered")).to_contain_text("exchange them")
    page.locator("#from").fill("2025-12-01T00:00")
    expect(page.locator("#unanswered")).to_be_hidden()
    expect(tile(page, "Events")).to_have_text("0")
    expect(page.locator("#every")).to_have_text("by the day")
    page.locator("#from").fill("1990-01-01T00:00")
    expect(page.locator("#every")).to_have_text("by the month")


def test_a_question_that_is_refused_is_no_lost_connection(
    start_dev: StartDev, browser: Browser
) -> None:
    dev = start_dev()
    with visitor(browser) as context:
        page = context.new_page()
        page.goto(f"{dev.url}/insights?range=own&from=0900-01-01T00:00&to=2026-12-01T00:00")
        expect(page.locator("#unanswered")).to_contain_text("more than 1500 times")
        expect(page.locator("#connection")).to_have_text("Live")
        page.locator("#to").fill("0900-01-02T00:00")
        expect(tile(page, "Events")).to_have_text("0")
        expect(page.locator("#unanswered")).to_be_hidden()


def test_without_an_affiliate_the_page_says_so(start_dev: StartDev, page: Page) -> None:
    dev = start_dev(manifest="")
    page.goto(f"{dev.url}/insights")
    expect(page.locator("#unanswered")).to_contain_text("No affiliate yet.")
    (dev.manifests / "acme.yaml").write_text(ACME, "utf-8")
    expect(tile(page, "Events")).to_have_text("0", timeout=15_000)
    expect(page.locator("#unanswered")).to_be_hidden()


def test_what_strangers_wrote_is_shown_and_runs_nothing(start_dev: StartDev, page: Page) -> None:
    dev = start_dev()
    dev.post(*(track(text, text) for text in HOSTILE), *(view("x", f"/{t}") for t in HOSTILE))
    page.set_viewport_size({"width": 390, "height": 800})
    open_insights(page, dev)
    expect(page.locator("#events li")).to_have_count(len(HOSTILE) + 1)
    page.get_by_label("Step 1", exact=True).select_option(HOSTILE[0])
    page.get_by_label("Step 2", exact=True).select_option(HOSTILE[1])
    expect(page.locator(".step .figures strong").first).to_have_text(re.compile("1 person"))
    assert page.locator("#main img, #main script").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def test_the_console_leads_to_the_insights_of_its_affiliate(
    start_dev: StartDev, page: Page
) -> None:
    dev = start_dev()
    page.goto(f"{dev.url}/#acme")
    expect(page.locator("#to-insights")).to_have_attribute("href", "/insights?affiliate=acme")
    page.locator("#to-insights").click()
    expect(page.locator("#affiliate")).to_have_value("acme")


def test_a_page_with_the_snippet_counts_a_view_and_its_visitor(
    start_dev: StartDev, page: Page
) -> None:
    dev = start_dev()
    snippet = dev.command("snippet", "acme").stdout.decode()
    page.route("**/offers/7", lambda it: it.fulfill(body=snippet, content_type="text/html"))
    for _ in range(2):
        page.goto(f"{dev.url}/offers/7")
        page.wait_for_function("window.trackmate && trackmate.flush().then(() => true)")
    page.evaluate("trackmate.track('Added To Cart')")
    assert page.evaluate("trackmate.flush()")
    open_insights(page, dev)
    expect(tile(page, "Events")).to_have_text("3")
    expect(tile(page, "People")).to_have_text("1")
    expect(tile(page, "Page views")).to_have_text("2")
    expect(page.locator("#pages .name")).to_have_text("/offers/7")
    expect(page.locator("#events .name")).to_have_text(["page", "Added To Cart"])
