"""
Whose the events of a visit are, on which page and in which session: through pages, tabs, logouts
and the back/forward cache of a real Chromium, looked at by what comes over the wire.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from browser import chromium, complaints, visitor
from running import ACME, Dev, serving
from trackmate.insights.facts import fact_of
from waiting_for import wait_until
from web_gateway import Fault, WebGateway, web_gateway

pytestmark = pytest.mark.needs("chromium")

_ICON = '<link rel="icon" href="data:,">'  # or a browser asks for one
UUID7 = r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    with serving(tmp_path_factory.mktemp("sdk"), ACME) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium(back_forward_cache=True) as found:
        yield found


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    with visitor(browser) as context:
        yield context


@dataclass
class Site:
    """Pages with the client on them, and what it sent."""

    gateway: WebGateway
    key: str

    def serve(self, path: str, *, tag: str = "", before: str = "") -> None:
        """A page; `tag` holds further attributes of the script, `before` stands in front of it."""
        source = f'<script src="{self.gateway.url}/trackmate.js" data-key="{self.key}" {tag}>'
        html = f"<!doctype html>{_ICON}<title>Title of {path}</title>{before}{source}</script>"
        self.gateway.pages[path] = (html, {})

    def open(self, page: Page, path: str = "/a") -> Page:
        page.goto(self.at(path))
        page.wait_for_function("window.trackmate && !trackmate.q")
        return page

    def at(self, path: str) -> str:
        return f"http://localhost:{self.gateway.port}{path}"

    def events(self, page: Page | None = None) -> list[dict[str, Any]]:
        """All that came, once the page has sent what waits."""
        if page is not None:
            assert page.evaluate(_FLUSHED) is True
        return [event for came in self.gateway.came for event in json.loads(came.body)]

    def views(self, page: Page) -> list[dict[str, Any]]:
        """The pages that were viewed, as events tell; a repeat is the same view."""
        events = {event["messageId"]: event for event in self.events(page)}
        return [event["context"]["page"] for event in events.values() if event["type"] == "page"]


# two tasks later, as a view waits for one
_FLUSHED = """() => new Promise((done) =>
  setTimeout(() => setTimeout(() => trackmate.flush().then(done))))"""


@pytest.fixture
def site(dev: Dev) -> Iterator[Site]:
    with web_gateway(dev.url) as gateway:
        site = Site(gateway, dev.key("web"))
        for path in ("/a", "/b"):
            site.serve(path)
        gateway.pages["/empty"] = (f"<!doctype html>{_ICON}<title>Without us</title>", {})
        yield site


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A page that ends without a complaint."""
    page = context.new_page()
    heard = complaints(page)
    yield page
    assert heard == []


# views


def test_a_page_is_viewed_when_it_loads(site: Site, page: Page) -> None:
    site.open(page, "/a?from=x#part")
    [view] = site.views(page)
    assert view == {
        "url": site.at("/a?from=x#part"),
        "path": "/a",
        "search": "?from=x",
        "title": "Title of /a",
        "referrer": "",
    }


def test_a_new_path_or_query_is_a_view_that_names_the_page_before_and_its_own_title(
    site: Site, page: Page
) -> None:
    site.open(page)
    for url in ("/b", "/b?page=2"):
        # frameworks set the title once the address has changed
        page.evaluate("url => { history.pushState(null, '', url); document.title = url }", url)
        site.events(page)
    page.evaluate("() => new Promise((back) => { onpopstate = back; history.back() })")

    views = [(view["path"], view["search"], view["title"]) for view in site.views(page)]
    assert views == [
        ("/a", "", "Title of /a"),
        ("/b", "", "/b"),
        ("/b", "?page=2", "/b?page=2"),
        ("/b", "", "/b?page=2"),
    ]
    referrers = [view["referrer"] for view in site.views(page)]
    assert referrers == ["", *(site.at(url) for url in ("/a", "/b", "/b?page=2"))]


def test_no_page_is_viewed_by_itself_where_the_site_says_so(site: Site, page: Page) -> None:
    site.serve("/quiet", tag='data-pages="false"')
    site.open(page, "/quiet")
    page.evaluate("history.pushState(null, '', '/b'); trackmate.page('Mine', { n: 1 })")
    [view] = site.events(page)
    assert (view["type"], view["name"], view["properties"]) == ("page", "Mine", {"n": 1})


def test_the_history_works_as_without_us(site: Site, page: Page) -> None:
    site.open(page)
    assert page.evaluate("history.pushState({ kept: 1 }, '', '/b') === undefined")
    assert page.evaluate("[history.state, location.pathname]") == [{"kept": 1}, "/b"]
    leaving = "history.pushState(null, '', 'http://x.example')"
    thrown = page.evaluate(f"() => {{ try {{ {leaving} }} catch (e) {{ return e.name }} }}")
    assert thrown == "SecurityError"


def test_a_page_that_comes_back_from_the_cache_is_viewed_again_and_goes_on(
    site: Site, page: Page
) -> None:
    site.open(page)
    page.evaluate("window.kept = true; trackmate.track('Before')")
    page.goto(site.at("/b"))
    page.go_back(wait_until="commit")
    page.wait_for_function("location.pathname === '/a'")
    assert page.evaluate("window.kept"), "the page came from the cache, or this proves nothing"

    page.evaluate("trackmate.track('After')")

    assert [view["path"] for view in site.views(page)].count("/a") == 2
    names = {event.get("event") for event in site.events()}
    assert {"Before", "After"} <= names


# events and whose they are


def test_an_event_has_segments_shape_and_says_when_in_two_ways(site: Site, page: Page) -> None:
    site.open(page)
    page.evaluate("trackmate.track('Offer Viewed', { price: 690, tags: ['a'] })")
    event = next(event for event in site.events(page) if event["type"] == "track")
    assert event["event"] == "Offer Viewed"
    assert event["properties"] == {"price": 690, "tags": ["a"]}
    for one in (event["messageId"], event["anonymousId"], event["context"]["session"]["id"]):
        assert re.fullmatch(UUID7, one)
    assert event["timestamp"].endswith("Z")
    assert event["context"]["clock"]["elapsed"] >= 0
    assert "userId" not in event
    assert event["context"]["library"]["name"] == "@trackmate/core"


def test_events_say_who_and_of_what_in_every_tab_until_the_logout(
    site: Site, page: Page, context: BrowserContext
) -> None:
    site.serve("/quiet", tag='data-pages="false"')
    site.open(page, "/quiet")
    page.evaluate("trackmate.identify(17, { plan: 'gold' }); trackmate.group('g')")
    other = site.open(context.new_page(), "/quiet")
    other.evaluate("trackmate.track('Theirs')")
    site.events(other)
    page.evaluate("trackmate.reset(); trackmate.track('After')")
    site.events(page)
    other.evaluate("trackmate.track('After Too')")

    events = {event.get("event", event["type"]): event for event in site.events(other)}
    before = [events["identify"], events["group"], events["Theirs"]]
    assert events["identify"]["traits"] == {"plan": "gold"}
    assert events["group"]["groupId"] == events["Theirs"]["context"]["groupId"] == "g"
    assert [event["userId"] for event in before] == ["17", "17", "17"]
    after = [events["After"], events["After Too"]]
    assert ["userId" in event for event in after] == [False, False]
    [old], [new] = ({event["anonymousId"] for event in some} for some in (before, after))
    assert old != new


def test_an_alias_names_the_id_before(site: Site, page: Page) -> None:
    site.serve("/quiet", tag='data-pages="false"')
    site.open(page, "/quiet")
    page.evaluate("trackmate.alias('u'); trackmate.alias('v'); trackmate.alias('w', 'x')")
    first, second, third = site.events(page)
    assert (first["userId"], first["previousId"]) == ("u", first["anonymousId"])
    assert (second["userId"], second["previousId"]) == ("v", "u")
    assert (third["userId"], third["previousId"]) == ("w", "x")


def test_events_of_a_session_are_counted_through_its_pages(site: Site, page: Page) -> None:
    for path in ("/a", "/b"):
        site.open(page, path)
        site.events(page)
    sessions = [event["context"]["session"] for event in site.events(page)]
    assert len({session["id"] for session in sessions}) == 1
    assert [session["seq"] for session in sessions] == [1, 2]


def test_an_identity_that_is_none_changes_nothing(site: Site, page: Page) -> None:
    site.serve("/quiet", tag='data-pages="false"')
    site.open(page, "/quiet")
    page.evaluate("trackmate.identify('u'); trackmate.identify(undefined); trackmate.identify('')")
    assert {event["userId"] for event in site.events(page)} == {"u"}


# consent


def kept(page: Page) -> list[str]:
    """What is on the device: names in both storages, and cookies."""
    stored: list[str] = page.evaluate(
        "[localStorage, sessionStorage].flatMap(Object.keys).concat(document.cookie || [])"
    )
    return stored


def test_a_returning_visitor_who_is_asked_again_is_still_the_same_and_who_they_said_meanwhile(
    site: Site, page: Page
) -> None:
    site.serve("/asks", tag='data-consent="pending"')
    site.open(page)
    [first] = site.events(page)
    site.open(page, "/asks")
    page.evaluate("trackmate.identify('u'); trackmate.consent('granted'); trackmate.track('Last')")

    events = site.events(page)
    assert {event["anonymousId"] for event in events} == {first["anonymousId"]}
    assert events[-1]["userId"] == "u"


def test_pending_events_are_bounded_and_the_oldest_go(site: Site, page: Page) -> None:
    site.serve("/asks", tag='data-consent="pending" data-pages="false"')
    site.open(page, "/asks")
    page.evaluate("for (let n = 0; n < 150; n++) trackmate.track('Early', { n })")
    page.evaluate("trackmate.consent('granted')")
    assert [event["properties"]["n"] for event in site.events(page)] == [*range(50, 150)]


def test_who_declines_leaves_nothing_on_the_device(site: Site, page: Page) -> None:
    site.serve("/never", tag='data-consent="denied"')
    site.open(page)
    site.events(page)
    site.open(page, "/never")
    page.evaluate("trackmate.track('No')")
    assert kept(page) == []
    page.goto(site.at("/empty"))
    assert kept(page) == []


# when a page goes


@pytest.mark.parametrize(("unload", "times"), [("keep", 2), ("drop", 1)])
def test_what_leaves_with_a_page_is_kept_until_acknowledged_or_counts_as_sent(
    site: Site, page: Page, unload: str, times: int
) -> None:
    site.serve("/goes", tag=f'data-unload="{unload}" data-pages="false"')
    site.gateway.hurts(Fault(stored=True, late_s=2), times=1)
    site.open(page, "/goes")
    page.evaluate("trackmate.track('Leaving')")
    page.goto(site.at("/goes?next"))
    page.evaluate("trackmate.track('Next')")

    def sent() -> list[str]:
        return [event["event"] for event in site.events()]

    wait_until(lambda: "Next" in sent(), "the next page has sent")
    assert sent().count("Leaving") == times


# what a page is spared


def test_a_second_script_of_the_same_key_is_the_first_one(site: Site, page: Page) -> None:
    twice = f'<script src="{site.gateway.url}/trackmate.js" data-key="{site.key}"></script>'
    site.serve("/twice", before=twice)
    site.open(page, "/twice")
    page.evaluate("history.pushState(null, '', '/b')")
    assert [view["path"] for view in site.views(page)] == ["/twice", "/b"]


def test_a_stream_is_named_in_the_address(site: Site, page: Page) -> None:
    site.serve("/other", tag='data-stream="events"')
    site.open(page, "/other")
    site.events(page)
    assert site.gateway.came[0].query["stream"] == "events"


def test_no_handler_keeps_a_page_out_of_the_back_forward_cache(site: Site, page: Page) -> None:
    page.add_init_script(
        "window.heard = []; const add = EventTarget.prototype.addEventListener;"
        "EventTarget.prototype.addEventListener = function (name, ...rest)"
        " { heard.push(name); return add.call(this, name, ...rest) }"
    )
    site.open(page)
    heard = set(page.evaluate("heard"))
    assert "pagehide" in heard, "or nothing was looked at"
    assert heard & {"unload", "beforeunload"} == set()


def test_timers_are_the_browsers_own_beside_zone_js(site: Site, page: Page) -> None:
    page.add_init_script(
        "window.zoned = 0; window.__zone_symbol__setTimeout = window.setTimeout;"
        "window.__zone_symbol__clearTimeout = window.clearTimeout;"
        "window.setTimeout = (...args) => { zoned++; return __zone_symbol__setTimeout(...args) }"
    )
    site.open(page)
    page.evaluate("trackmate.track('A')")
    wait_until(lambda: len(site.events()) == 2, "both events came by timers alone")
    assert page.evaluate("zoned") == 0


def test_where_there_is_no_fetch_a_beacon_takes_the_events(site: Site, page: Page) -> None:
    page.add_init_script("delete window.fetch")
    site.open(page)
    page.evaluate("trackmate.track('By Beacon')")
    assert page.evaluate(_FLUSHED) is True
    wait_until(lambda: len(site.events()) == 2, "the beacon came")
    assert site.gateway.methods["OPTIONS"] == 0


def test_the_figures_know_its_views_and_people(site: Site, page: Page, dev: Dev) -> None:
    site.open(page, "/a?figures")
    [event] = site.events(page)
    stored = next(record.value for record in dev.tail() if record.id == event["messageId"])
    fact = fact_of(b'{"tm":{"stream":"events","received":5},"event":%b}' % stored)
    assert (fact.view, fact.page, fact.person) == (True, "/a", event["anonymousId"])
