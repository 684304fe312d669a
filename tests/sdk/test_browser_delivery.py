"""
What `track` took is in the store, through all that happens to pages and to the way there: in a real
Chromium, against a real instance, looked at from the instance's side.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from playwright.sync_api import Browser, BrowserContext, Error, Page

from browser import chromium, visitor
from probing import Probed, names
from running import ACME, Dev, serving
from waiting_for import wait_until
from web_gateway import PASS, Came, Fault, web_gateway

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.timeout(180)]

DEAD_MS = 125_000
"""After which a queue is taken for one of a dead tab."""


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    with serving(tmp_path_factory.mktemp("sdk"), ACME) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


class Site(Probed):
    def open(self, context: BrowserContext, path: str = "/") -> Page:
        """In a new tab, once the client is there."""
        page = context.new_page()
        page.goto(self.at(path))
        page.wait_for_function("window.trackmate && !trackmate.q")
        return page

    def open_later(self, context: BrowserContext) -> None:
        """A new tab, and then its clock goes on until other tabs count as dead."""
        page = context.new_page()
        page.clock.install()
        page.goto(self.at())
        for _ in range(3):
            page.clock.fast_forward(DEAD_MS)

    def track(self, page: Page, *names: str) -> None:
        """Each name once in a test."""
        page.evaluate("names => names.forEach(name => trackmate.track('Probe', { name }))", names)
        self.tracked |= {*names}


HEAD = "<!doctype html><title>Site</title>"


@pytest.fixture
def site(dev: Dev) -> Iterator[Site]:
    key = dev.key("web")
    with web_gateway(dev.url) as gateway:
        tag = f'<script src="{gateway.url}/trackmate.js" data-key="{key}"></script>'
        for path in ("/", "/other", "/third"):
            gateway.pages[f"/site{path}"] = (f"{HEAD}{tag}<p>{path}</p>", {})
        yield Site(gateway, dev)


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    with visitor(browser) as context:
        yield context


# what happens to a page right after it tracked

Leaving = Callable[[Site, Page], None]


def navigates(site: Site, page: Page) -> None:
    page.goto(site.at("/other"))


def reloads(_: Site, page: Page) -> None:
    page.reload()


def closes(_: Site, page: Page) -> None:
    page.close()


def goes_back_and_forth(site: Site, page: Page) -> None:
    page.goto(site.at("/other"))
    page.go_back()
    page.go_forward()


def is_hidden(_: Site, page: Page) -> None:
    page.context.new_page().bring_to_front()


@pytest.mark.parametrize(
    "leaves",
    [navigates, reloads, closes, goes_back_and_forth, is_hidden],
    ids=lambda it: it.__name__,
)
@pytest.mark.parametrize("count", [1, 150])
def test_an_event_survives_a_page_that_leaves_at_once(
    site: Site, context: BrowserContext, leaves: Leaving, count: int
) -> None:
    page = site.open(context)
    site.track(page, *names(f"{leaves.__name__}-{count}", count))
    leaves(site, page)
    if count > 100 and leaves is closes:  # more than may outlive a page: the next page sends it
        site.open_later(context)
    site.settles()


# what happens to the way there

LATER = Fault(503, problem="unavailable", headers={"Retry-After": "1"})
WAYS = {
    "a fault": Fault(500, body=b"oops"),
    "a proxy without a backend": Fault(502, body=b"<h1>Bad gateway</h1>"),
    "a proxy that knows no such page": Fault(404, body=b"<h1>Not found</h1>"),
    "a proxy that refuses the key": Fault(403, body=b"<h1>Forbidden</h1>"),
    "not confirmed": LATER,
    "not confirmed, and no word of when": Fault(503, problem="unavailable"),
    "too many, for a second": Fault(429, problem="too-many", headers={"Retry-After": "1"}),
    "too many, until a date that has passed": Fault(
        429, problem="too-many", headers={"Retry-After": "Sun, 06 Nov 1994 08:49:37 GMT"}
    ),
    "too many, and nonsense": Fault(429, problem="too-many", headers={"Retry-After": "soon"}),
    "a reset": Fault(reset=True),
    "stored, and the answer lost": Fault(stored=True, reset=True),
    "slow": Fault(late_s=3),
    "a 200 of a captive portal": Fault(200, body=b"<h1>Please log in</h1>"),
}


@pytest.mark.parametrize("way", WAYS, ids=lambda it: it.replace(" ", "-"))
def test_an_event_survives_a_way_that_fails(site: Site, context: BrowserContext, way: str) -> None:
    page = site.open(context)
    site.gateway.hurts(WAYS[way], times=2)
    site.track(page, *names(way, 30))
    wait_until(lambda: site.gateway.hurt >= 1, "the fault bit")
    site.settles()
    if WAYS[way].stored:
        wait_until(lambda: max(map(len, site.stored().values())) > 1, "they came twice")


def test_a_date_in_retry_after_is_waited_for(site: Site, context: BrowserContext) -> None:
    page = site.open(context)
    asked = datetime.now(UTC) + timedelta(seconds=4)
    later = {"Retry-After": format_datetime(asked, usegmt=True)}
    site.gateway.hurts(Fault(503, problem="unavailable", headers=later), times=1)
    site.track(page, "dated")
    wait_until(lambda: site.gateway.hurt == 1, "it was asked to wait")
    site.settles()
    assert datetime.now(UTC) >= asked - timedelta(seconds=1)  # a date has whole seconds


def test_what_is_too_large_goes_in_smaller_pieces(site: Site, context: BrowserContext) -> None:
    def judge(came: Came) -> Fault:
        many = len(json.loads(came.body)) > 7
        return Fault(413, problem="too-large") if many else PASS

    page = site.open(context)
    site.gateway.judge = judge
    site.track(page, *names("large", 60))
    site.settles()
    assert site.gateway.hurt > 0


def test_one_event_that_is_refused_is_counted_and_takes_no_other_along(
    site: Site, context: BrowserContext
) -> None:
    def judge(came: Came) -> Fault:
        for index, event in enumerate(json.loads(came.body)):
            if event.get("event") == "Poison":
                return Fault(400, problem="malformed", event=index)
        return PASS

    page = site.open(context)
    site.gateway.judge = judge
    page.evaluate("trackmate.track('Poison')")
    site.track(page, *names("beside", 20))
    site.settles()
    site.track(page, "after")
    site.settles()
    assert "1" in {came.query.get("dropped") for came in site.gateway.came}


def test_a_refused_key_pauses_and_loses_nothing(site: Site, context: BrowserContext) -> None:
    page = site.open(context)
    site.gateway.hurts(Fault(401, problem="unauthorized"))
    site.track(page, *names("locked", 10))
    wait_until(lambda: site.gateway.hurt >= 1, "it was refused")
    before = site.gateway.hurt
    site.track(page, *names("still-locked", 10))
    page.wait_for_timeout(2500)  # longer than a batch waits: nothing more is sent
    assert site.gateway.hurt == before
    site.gateway.heals()
    page.evaluate("trackmate.flush()")
    site.settles()


def test_hours_offline_lose_nothing(site: Site, context: BrowserContext) -> None:
    page = site.open(context)
    context.set_offline(True)
    site.track(page, *names("offline", 50))
    page.wait_for_function("navigator.onLine === false")
    page.clock.install()
    page.clock.fast_forward(6 * 3600 * 1000)
    context.set_offline(False)
    site.settles()


def test_what_a_blocker_stops_waits_until_it_lets_go(site: Site, context: BrowserContext) -> None:
    page = site.open(context)
    context.route("**/v1/events*", lambda route: route.abort("blockedbyclient"))
    with page.expect_event("requestfailed"):
        site.track(page, *names("blocked", 10))
    assert site.stored() == {}
    context.unroute("**/v1/events*")
    site.settles()


# what happens to tabs

KEPT = """name => Object.entries(localStorage)
  .some(([key, value]) => key.includes(':q:') && value.includes(`"${name}"`))"""


def is_kept(page: Page, name: str) -> None:
    """Until the device has it: an event is written a moment after it was tracked."""
    page.wait_for_function(KEPT, arg=name)


def crash(page: Page) -> None:
    """Its renderer, and of other tabs that share it."""
    with suppress(Error):
        page.goto("chrome://crash")
    page.close()  # what is left of it would hear of the clock


def test_an_event_survives_a_crash_of_its_page(site: Site, context: BrowserContext) -> None:
    page = site.open(context)
    site.gateway.hurts(LATER)
    site.track(page, *names("crashed", 30))
    is_kept(page, "crashed-29")
    crash(page)
    site.gateway.heals()
    site.open_later(context)
    site.settles()


@pytest.mark.parametrize("count", [2, 12])
def test_many_tabs_some_of_which_die_lose_nothing(
    site: Site, context: BrowserContext, count: int
) -> None:
    site.gateway.hurts(LATER)
    pages = [site.open(context) for _ in range(count)]
    for number, page in enumerate(pages):
        site.track(page, *names(f"tab-{count}-{number}", 15))
    for number, page in enumerate(pages):
        is_kept(page, f"tab-{count}-{number}-14")
    for number, page in enumerate(pages):
        if number % 3 == 0:
            crash(page)
        elif number % 3 == 1:
            page.close()
    site.gateway.heals()
    site.open_later(context)
    site.open_later(context)
    site.settles(60)


def test_a_frozen_tab_is_outlived_by_its_events(site: Site, context: BrowserContext) -> None:
    page = site.open(context)
    site.gateway.hurts(LATER)
    site.track(page, *names("frozen", 20))
    is_kept(page, "frozen-19")
    session = context.new_cdp_session(page)
    session.send("Page.setWebLifecycleState", {"state": "frozen"})
    site.gateway.heals()
    site.open_later(context)
    site.settles()
    session.send("Page.setWebLifecycleState", {"state": "active"})
    site.track(page, "thawed")
    site.settles()


def test_a_tab_that_is_duplicated_sends_its_events_once_more_at_most(
    site: Site, context: BrowserContext
) -> None:
    page = site.open(context)
    site.gateway.hurts(LATER)
    site.track(page, *names("twin", 10))
    is_kept(page, "twin-9")
    with context.expect_page() as opened:  # a copy of sessionStorage goes along
        page.evaluate("open(location.href)")
    opened.value.wait_for_function("window.trackmate && !trackmate.q")
    site.gateway.heals()
    site.track(opened.value, "of-the-twin")
    site.settles()


# what happens to the device

FORBIDDEN = """{ const get = () => { throw new DOMException('no', 'SecurityError') };
  for (const name of ['localStorage', 'sessionStorage'])
    Object.defineProperty(window, name, { get }) }"""
FILL = """for (let n = 22; n >= 0; n--) {
  try { for (;;) localStorage.setItem('full' + Math.random(), 'x'.repeat(2 ** n)) } catch {} }"""
JUMPS = """{ const real = Date.now; let by = 0; Date.now = () => real() + by;
  window.jump = (ms) => { by += ms } }"""


@pytest.mark.parametrize("script", [FORBIDDEN, FILL], ids=["forbidden", "full"])
def test_a_page_without_storage_sends_all_the_same(
    site: Site, context: BrowserContext, script: str
) -> None:
    context.add_init_script(script)
    page = site.open(context)
    site.gateway.hurts(LATER, times=2)
    site.track(page, *names(f"unkept-{len(script)}", 40))
    site.settles()
    assert site.gateway.hurt > 0


def test_a_page_whose_storage_is_cleared_sends_all_the_same(
    site: Site, context: BrowserContext
) -> None:
    page = site.open(context)
    site.gateway.hurts(LATER)
    site.track(page, *names("cleared", 20))
    is_kept(page, "cleared-19")
    page.evaluate("localStorage.clear(); sessionStorage.clear()")
    site.gateway.heals()
    site.settles()


@pytest.mark.parametrize("hours", [-48, 48])
def test_a_clock_that_jumps_loses_nothing(site: Site, context: BrowserContext, hours: int) -> None:
    context.add_init_script(JUMPS)
    page = site.open(context)
    site.gateway.hurts(LATER, times=2)
    site.track(page, *names(f"before{hours}", 10))
    page.evaluate("hours => jump(hours * 3600000)", hours)
    site.track(page, *names(f"after{hours}", 10))
    site.settles()


def test_another_library_that_uses_up_keepalive_costs_no_event(
    site: Site, context: BrowserContext
) -> None:
    """All libraries of a page share 64 KiB of what may outlive it (fetch standard, 4.6)."""
    page = site.open(context)
    site.gateway.slow["/elsewhere"] = 20.0
    page.evaluate(
        """() => {
          fetch('/elsewhere', { method: 'POST', keepalive: true, body: 'x'.repeat(65000) }) }"""
    )
    wait_until(lambda: site.gateway.methods["elsewhere"] > 0, "the other library sends")
    site.track(page, *names("quota", 30))
    page.goto(site.at("/other"))
    site.settles()
