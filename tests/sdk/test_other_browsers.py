"""
What the SDK promises, in a real Firefox and a real WebKit: what `track` took is in the store, as
`test_browser_delivery.py` has it of Chromium, looked at from the instance's side.

Nobody turns the clock of these browsers. Where a tab must have been dead for two minutes, the stamp
that its queue on the device begins with is set back by as much.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from firefox import Firefox, firefox, lengths_on_disk
from other_browsers import Refused, Running, Start, Tab, shows
from probing import Probed, names
from running import ACME, Dev, serving
from waiting_for import wait_until
from web_gateway import Fault, web_gateway
from webkit import webkit

pytestmark = pytest.mark.timeout(180)

LATER = Fault(503, problem="unavailable", headers={"Retry-After": "1"})
RESET = Fault(reset=True)

EAR = """<script nonce="n">
window.heard = []
for (const name of ['error', 'unhandledrejection', 'securitypolicyviolation'])
  addEventListener(name, ({ message, reason, blockedURI }) =>
    heard.push(`${name} ${message || reason || blockedURI}`), true)
for (const name of ['warn', 'error']) console[name] = (...said) => heard.push(said.join(' '))
addEventListener('pageshow', (event) => { window.cached = event.persisted })
</script>"""


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    with serving(tmp_path_factory.mktemp("sdk"), ACME) as running:
        yield running


@pytest.fixture(scope="module")
def key(dev: Dev) -> str:
    return dev.key("web")


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(firefox, id="firefox", marks=pytest.mark.needs("firefox")),
        pytest.param(webkit, id="webkit", marks=pytest.mark.needs("webkit")),
    ],
)
def start(request: pytest.FixtureRequest) -> Start:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def shared(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with start(tmp_path_factory.mktemp("browser") / "profile") as running:
        yield running


@pytest.fixture
def browser(shared: Running) -> Iterator[Running]:
    """Without a tab. Each test has a site of its own, so nothing of another's is kept for it."""
    yield shared
    shared.close_tabs()


@dataclass
class Site(Probed):
    test: str = ""

    def names(self, prefix: str, count: int) -> list[str]:
        """Of this test alone: one instance hears from all browsers."""
        return names(f"{self.test}-{prefix}", count)

    def open(self, browser: Running, path: str = "/") -> Tab:
        """In a new tab, once the client is there."""
        tab = browser.tab()
        tab.goto(self.at(path))
        shows(tab, "window.trackmate && !trackmate.q")
        return tab

    def track(self, tab: Tab, *names: str) -> None:
        """Each name once in a test."""
        told = json.dumps(names)
        tab.evaluate(f"{told}.forEach((name) => trackmate.track('Probe', {{ name }}))")
        self.tracked |= {*names}


@pytest.fixture
def site(dev: Dev, key: str, request: pytest.FixtureRequest) -> Iterator[Site]:
    with web_gateway(dev.url) as gateway:
        tag = f'<script src="{gateway.url}/trackmate.js" data-key="{key}"></script>'
        policy = (
            f"default-src 'none'; script-src {gateway.url} 'nonce-n'; connect-src {gateway.url}; "
            "img-src 'self'; base-uri 'none'; "  # a browser asks for an icon by itself
            "require-trusted-types-for 'script'; trusted-types 'none'"
        )
        html = f"<!doctype html><title>Site</title>{EAR}{tag}"
        for path in ("/", "/other", "/third"):
            gateway.pages[f"/site{path}"] = (f"{html}<p>{path}</p>", {})
        gateway.pages["/site/strict"] = (html, {"Content-Security-Policy": policy})
        yield Site(gateway, dev, test=request.node.name)


def hurt(site: Site) -> None:
    wait_until(lambda: site.gateway.hurt >= 1, "the fault bit")


# what happens to a page right after it tracked

Leaving = Callable[[Site, Tab], None]


def stays(_: Site, tab: Tab) -> None:
    pass


def navigates(site: Site, tab: Tab) -> None:
    tab.goto(site.at("/other"))


def reloads(_: Site, tab: Tab) -> None:
    tab.reload()


@pytest.mark.parametrize("leaves", [stays, navigates, reloads], ids=lambda it: it.__name__)
def test_an_event_survives_a_page_that_leaves_at_once(
    site: Site, browser: Running, leaves: Leaving
) -> None:
    tab = site.open(browser)
    site.track(tab, *site.names("left", 50))
    leaves(site, tab)
    site.settles()


def test_an_event_survives_a_tab_that_is_closed_at_once(site: Site, browser: Running) -> None:
    """A busy browser may drop what a tab sends as it closes; then another page finds it kept."""
    told = site.names("closed", 50)
    tab = site.open(browser)
    site.track(tab, *told)
    tab.close()
    try:
        site.settles(seconds=15)
    except AssertionError:
        after = site.open(browser)
        ages(after, told[-1])
        after.goto(site.at("/other"))
        site.settles()


@pytest.mark.parametrize("fault", [None, LATER], ids=["stored", "not-confirmed"])
def test_an_event_survives_a_page_that_comes_back_as_it_was_left(
    site: Site, browser: Running, fault: Fault | None
) -> None:
    """From the back/forward cache, twice."""
    if fault:
        site.gateway.hurts(fault)
    tab = site.open(browser)
    site.track(tab, *site.names("left", 10))
    tab.goto(site.at("/other"))
    site.track(tab, *site.names("between", 10))
    tab.back()
    shows(tab, "location.pathname === '/site/' && window.cached")
    site.track(tab, *site.names("back", 10))
    tab.forward()
    shows(tab, "location.pathname === '/site/other' && window.cached")
    site.track(tab, *site.names("forth", 10))
    if fault:
        hurt(site)
        site.gateway.heals()
    site.settles()


# what happens to the way there

WAYS = {"not confirmed": LATER, "a reset": RESET, "the answer lost": Fault(stored=True, reset=True)}


@pytest.mark.parametrize("way", WAYS, ids=lambda it: it.replace(" ", "-"))
def test_an_event_survives_a_way_that_fails(site: Site, browser: Running, way: str) -> None:
    tab = site.open(browser)
    site.gateway.hurts(WAYS[way], times=2)
    site.track(tab, *site.names("hurt", 30))
    hurt(site)
    site.settles()
    if WAYS[way].stored:
        wait_until(lambda: max(map(len, site.stored().values())) > 1, "they came twice")


@pytest.mark.parametrize("fault", [LATER, RESET], ids=["not-confirmed", "a-reset"])
def test_the_next_page_delivers_what_the_one_before_could_not(
    site: Site, browser: Running, fault: Fault
) -> None:
    tab = site.open(browser)
    site.gateway.hurts(fault)
    site.track(tab, *site.names("before", 30))
    tab.goto(site.at("/other"))
    hurt(site)
    assert site.stored() == {}
    site.gateway.heals()
    site.settles()


# what happens to tabs and browsers

KEPT = "Object.entries(localStorage).filter(([n, v]) => n.includes(':q:') && v.includes('\"{}\"'))"
DEAD_MS = 125_000
"""After which a queue is taken for one of a dead tab."""


def is_kept(tab: Tab, name: str) -> int:
    """Until the device has it: an event is written a moment after it was tracked. Its length."""
    kept = KEPT.format(name)
    shows(tab, f"{kept}.length")
    return int(tab.evaluate(f"{kept}[0][1].length"))


def ages(tab: Tab, name: str) -> None:
    """As if the tab that left a queue with it had been dead for two minutes; seen from another."""
    is_kept(tab, name)
    tab.evaluate(
        f"{KEPT.format(name)}.forEach(([n, v]) => {{ "
        f"localStorage[n] = v.replace(/^\\d+/, (stamp) => stamp - {DEAD_MS}) }})"
    )


def test_another_tab_sends_what_a_closed_one_could_not(site: Site, browser: Running) -> None:
    closed, stays = site.open(browser), site.open(browser)
    site.gateway.hurts(LATER)
    told = site.names("closed", 30)
    site.track(closed, *told)
    site.track(stays, *site.names("stays", 30))
    closed.close()
    hurt(site)
    ages(stays, told[-1])
    site.gateway.heals()
    stays.goto(site.at("/other"))
    site.settles()


# of Firefox alone: WebKit's driver ends with a page's process, and keeps no profile


def dies(browser: Firefox, tab: Tab) -> bool:
    """A process that Firefox is just about to give the page is not seen at once."""
    browser.kill_pages()
    try:
        tab.evaluate("1")
    except Refused:
        return True
    return False


@pytest.mark.needs("firefox")
def test_an_event_survives_a_crash_of_its_page(site: Site, tmp_path: Path) -> None:
    told = site.names("crashed", 30)
    with firefox(tmp_path / "profile") as browser:
        tab = site.open(browser)
        site.gateway.hurts(LATER)
        site.track(tab, *told)
        is_kept(tab, told[-1])
        wait_until(lambda: dies(browser, tab), "its process is gone")
        after = site.open(browser)
        ages(after, told[-1])
        site.gateway.heals()
        after.goto(site.at("/other"))
        site.settles()


def ends(browser: Firefox, _: Path, __: int) -> None:
    browser.end()


def is_killed(browser: Firefox, profile: Path, length: int) -> None:
    wait_until(lambda: length in lengths_on_disk(profile), "it is on the disk", seconds=30)
    browser.kill()


@pytest.mark.needs("firefox")
@pytest.mark.parametrize("stops", [ends, is_killed], ids=lambda it: it.__name__)
def test_an_event_survives_its_browser(
    site: Site, tmp_path: Path, stops: Callable[[Firefox, Path, int], None]
) -> None:
    profile, told = tmp_path / "profile", site.names("outlives", 30)
    with firefox(profile) as before:
        tab = site.open(before)
        site.gateway.hurts(LATER)
        site.track(tab, *told)
        length = is_kept(tab, told[-1])
        hurt(site)
        stops(before, profile, length)
    assert site.stored() == {}
    with firefox(profile) as anew:
        tab = site.open(anew)
        ages(tab, told[-1])
        site.gateway.heals()
        tab.goto(site.at("/other"))
        site.settles()


# what a page is to the SDK, and the SDK to a page


def test_a_page_without_storage_sends_all_the_same(
    site: Site, start: Start, tmp_path: Path
) -> None:
    with start(tmp_path / "profile", storage=False) as browser:
        tab = site.open(browser)
        assert tab.evaluate("localStorage") is None, "it is forbidden"
        site.gateway.hurts(LATER, times=2)
        site.track(tab, *site.names("unkept", 40))
        site.settles()
        assert site.gateway.hurt > 0
        site.track(tab, *site.names("unkept-and-left", 40))
        assert tab.evaluate("heard") == []
        tab.goto(site.at("/other"))
        site.settles()


def test_a_visitor_stays_the_same_over_pages(site: Site, browser: Running) -> None:
    tab = site.open(browser)
    told = site.names("visit", 3)
    site.track(tab, told[0])
    tab.reload()
    site.track(tab, told[1])
    tab.goto(site.at("/other"))
    site.track(tab, told[2])
    site.settles()
    of = {name: json.loads(found[0].value) for name, found in site.stored().items()}
    assert len({(one["anonymousId"], one["context"]["session"]["id"]) for one in of.values()}) == 1
    places = [of[name]["context"]["session"]["seq"] for name in told]
    assert places == sorted({*places})


def test_the_strictest_policy_of_a_page_is_kept_and_it_hears_nothing_of_us(
    site: Site, browser: Running
) -> None:
    tab = site.open(browser, "/strict")
    site.gateway.hurts(RESET, times=1)
    site.track(tab, *site.names("strict", 10))
    hurt(site)
    site.settles()
    assert tab.evaluate("heard") == []
