"""
The SDK as a guest on pages that are strict, broken or hostile: the page never hears a fault of
ours, and each view of a page is told once.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from browser import chromium, complaints, visitor
from running import ACME, Dev, serving
from waiting_for import wait_until
from web_gateway import WebGateway, web_gateway

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    with serving(tmp_path_factory.mktemp("sdk"), ACME) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    with visitor(browser) as context:
        yield context


@pytest.fixture
def gateway(dev: Dev) -> Iterator[WebGateway]:
    with web_gateway(dev.url) as found:
        yield found


def tag(gateway: WebGateway, dev: Dev, **attributes: str) -> str:
    more = "".join(f' data-{name}="{value}"' for name, value in attributes.items())
    return f'<script src="{gateway.url}/trackmate.js" data-key="{dev.key("web")}"{more}></script>'


def serve(gateway: WebGateway, html: str, path: str = "/site", **headers: str) -> str:
    """Its address, on another origin than ingest's."""
    gateway.pages[path] = (f"<!doctype html><title>Site</title>{html}", headers)
    return f"http://localhost:{gateway.port}{path}"


def opened(context: BrowserContext, address: str) -> tuple[Page, list[str]]:
    """A page, and what it complains of."""
    page = context.new_page()
    heard = complaints(page)
    page.goto(address)
    page.wait_for_function("window.trackmate && !trackmate.q")
    return page, heard


def sent(gateway: WebGateway) -> list[Any]:
    """Each event once, in order."""
    found: dict[str, Any] = {}
    for came in gateway.came:
        found |= {event["messageId"]: event for event in json.loads(came.body)}
    return list(found.values())


def flushed(page: Page) -> None:
    assert page.evaluate("trackmate.flush()") is True


def names(gateway: WebGateway) -> list[str]:
    return [event["event"] for event in sent(gateway) if event["type"] == "track"]


def views(gateway: WebGateway) -> list[str]:
    return [
        event["context"]["page"]["path"] + event["context"]["page"]["search"]
        for event in sent(gateway)
        if event["type"] == "page"
    ]


STRICT = (
    "default-src 'none'; script-src {ingest} 'nonce-n'; connect-src {ingest}; base-uri 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)


def test_the_strictest_policy_of_a_page_is_kept(
    dev: Dev, gateway: WebGateway, context: BrowserContext
) -> None:
    policy = STRICT.format(ingest=gateway.url)
    address = serve(gateway, tag(gateway, dev), **{"Content-Security-Policy": policy})
    page, heard = opened(context, address)
    page.evaluate("trackmate.track('Strict'); trackmate.identify('u1')")
    flushed(page)
    assert names(gateway) == ["Strict"]
    assert heard == []


def test_no_preflight_is_sent_and_no_cookie(
    dev: Dev, gateway: WebGateway, context: BrowserContext
) -> None:
    page, heard = opened(context, serve(gateway, tag(gateway, dev)))
    page.evaluate("document.cookie = 'session=1'; trackmate.track('Plain')")
    flushed(page)
    page.goto("about:blank")
    assert gateway.methods["OPTIONS"] == 0
    assert gateway.methods["POST"] > 0
    assert heard == []


def test_calls_made_before_the_script_came_are_made_up_for(
    dev: Dev, gateway: WebGateway, context: BrowserContext
) -> None:
    stub = (
        "<script>window.trackmate={q:[]};['track','identify'].forEach(m=>trackmate[m]=function(){"
        "trackmate.q.push([m,arguments])});var held=trackmate;held.identify('u9');"
        "held.track('Early',{n:1})</script>"
    )
    page, heard = opened(context, serve(gateway, stub + tag(gateway, dev)))
    page.evaluate("held.track('By who held the stub')")
    flushed(page)
    assert names(gateway) == ["Early", "By who held the stub"]
    assert {event["userId"] for event in sent(gateway) if event["type"] == "track"} == {"u9"}
    assert heard == []


BAD_USE = {
    "a circle": "const a = {}; a.a = a; trackmate.track('Bad', a)",
    "a BigInt": "trackmate.track('Bad', { n: 10n })",
    "a getter that throws": "trackmate.track('Bad', { get x() { throw new Error('theirs') } })",
    "a toJSON that throws": "trackmate.track('Bad', { toJSON() { throw new Error('theirs') } })",
    "far too large": "trackmate.track('Bad', { text: 'x'.repeat(600000) })",
    "nothing at all": "trackmate.track(); trackmate.identify(); trackmate.group(null)",
    "a symbol for a name": "trackmate.track(Symbol('s'))",
}


@pytest.mark.parametrize("use", BAD_USE, ids=lambda it: it.replace(" ", "-"))
def test_bad_use_leaves_the_page_unharmed_and_good_use_goes_on(
    dev: Dev, gateway: WebGateway, context: BrowserContext, use: str
) -> None:
    page, heard = opened(context, serve(gateway, tag(gateway, dev)))
    page.evaluate(f"() => {{ {BAD_USE[use]} }}")
    page.evaluate("trackmate.track('Good', { f() {}, u: undefined, d: new Date(0) })")
    flushed(page)
    assert names(gateway)[-1] == "Good"
    assert "Bad" not in names(gateway)
    assert heard == []


def test_ten_thousand_calls_in_a_loop_are_bounded_and_counted(
    dev: Dev, gateway: WebGateway, context: BrowserContext
) -> None:
    page, heard = opened(context, serve(gateway, tag(gateway, dev)))
    page.evaluate("for (let n = 0; n < 10000; n++) trackmate.track('Loop', { n })")
    flushed(page)
    arrived = names(gateway).count("Loop")
    assert 150 <= arrived <= 300, "a burst of 200, and 20 a second after it"
    reported = sum(int(came.query.get("dropped", 0)) for came in gateway.came)
    assert reported >= 10_000 - arrived, "the rest is counted"
    assert heard == []


HOSTILE = {
    "fetch that throws": "window.fetch = () => { throw new Error('theirs') }",
    "fetch that never ends": "window.fetch = () => new Promise(() => {})",
    "history that throws": "history.pushState = () => { throw new Error('theirs') }",
    "no crypto": "Object.defineProperty(window, 'crypto', { value: undefined })",
    "no locks": "Object.defineProperty(navigator, 'locks', { value: undefined })",
    "Object.prototype grown": "Object.prototype.grown = function () {}",
    "Array.prototype grown": "Array.prototype.grown = function () {}",
    "JSON with toJSON on arrays": "Array.prototype.toJSON = function () { return 'theirs' }",
}


@pytest.mark.parametrize("deed", HOSTILE, ids=lambda it: it.replace(" ", "-"))
def test_a_page_that_bends_its_globals_hears_nothing_of_us(
    dev: Dev, gateway: WebGateway, context: BrowserContext, deed: str
) -> None:
    script = f"<script>{HOSTILE[deed]}</script>"
    page, heard = opened(context, serve(gateway, script + tag(gateway, dev)))
    page.evaluate("trackmate.track('Through'); trackmate.page(); trackmate.reset()")
    page.wait_for_timeout(1500)  # longer than a batch waits
    assert heard == []
    if "fetch" not in deed:
        wait_until(lambda: "Through" in names(gateway), "it is sent")


MISSING = {
    "no key": ('<script src="{url}/trackmate.js"></script>', "key undefined"),
    "an endpoint that is none": (
        '<script src="{url}/trackmate.js" data-key="k" data-endpoint="nonsense"></script>',
        "nonsense",
    ),
}


@pytest.mark.parametrize("fault", MISSING, ids=lambda it: it.replace(" ", "-"))
def test_a_wrong_tag_is_said_once_in_the_console(
    dev: Dev, gateway: WebGateway, context: BrowserContext, fault: str
) -> None:
    html, word = MISSING[fault]
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(serve(gateway, html.format(url=gateway.url)))
    page.evaluate("window.trackmate && (trackmate.track('A'), trackmate.track('B'))")
    page.wait_for_timeout(300)
    [warning] = [text for text in said if text.startswith("Trackmate")]
    assert word in warning


def test_an_unknown_key_is_said_once_and_its_events_wait(
    dev: Dev, gateway: WebGateway, context: BrowserContext
) -> None:
    html = f'<script src="{gateway.url}/trackmate.js" data-key="tmw_unknown"></script>'
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(serve(gateway, html))
    page.evaluate("trackmate.track('A')")
    page.evaluate("trackmate.flush()")
    page.evaluate("trackmate.track('B')")
    page.wait_for_timeout(1500)
    warnings = [text for text in said if text.startswith("Trackmate")]
    assert len(warnings) == 1
    assert "not known" in warnings[0]
    assert page.evaluate("Object.keys(localStorage).some((name) => name.includes(':q:'))")


# page views

MOVES = {
    "pushed": ("history.pushState({}, '', '/site?a=1')", ["/site", "/site?a=1"]),
    "replaced by the same": ("history.replaceState({}, '', location.href)", ["/site"]),
    "replaced before it is pushed, as vue-router does": (
        "history.replaceState({}, '', location.href); history.pushState({}, '', '/site?b=1')",
        ["/site", "/site?b=1"],
    ),
    "redirected at once": (
        "history.pushState({}, '', '/site?c=1'); history.replaceState({}, '', '/site?d=1')",
        ["/site", "/site?d=1"],
    ),
    "pushed and taken back": (
        "history.pushState({}, '', '/site?e=1'); setTimeout(() => history.back(), 100)",
        ["/site", "/site?e=1", "/site"],
    ),
    "a fragment": ("location.hash = 'x'", ["/site"]),
}


@pytest.mark.parametrize("move", MOVES, ids=lambda it: it.replace(" ", "-"))
def test_each_address_of_an_app_is_one_view(
    dev: Dev, gateway: WebGateway, context: BrowserContext, move: str
) -> None:
    script, expected = MOVES[move]
    page, heard = opened(context, serve(gateway, tag(gateway, dev)))
    page.wait_for_timeout(50)  # the first view is told a task later
    page.evaluate(f"() => {{ {script} }}")
    page.wait_for_timeout(400)
    flushed(page)
    assert views(gateway) == expected
    assert heard == []


def test_a_fragment_is_a_view_where_it_is_asked_for(
    dev: Dev, gateway: WebGateway, context: BrowserContext
) -> None:
    page, _ = opened(context, serve(gateway, tag(gateway, dev, pages="hash")))
    page.wait_for_timeout(50)
    page.evaluate("location.hash = 'x'")
    page.wait_for_timeout(100)
    flushed(page)
    assert len(views(gateway)) == 2


def test_a_page_from_the_back_forward_cache_is_viewed_again(
    dev: Dev, gateway: WebGateway, context: BrowserContext
) -> None:
    page, _ = opened(context, serve(gateway, tag(gateway, dev)))
    page.evaluate("window.kept = true")
    page.goto(serve(gateway, "<p>Elsewhere", path="/elsewhere"))
    page.go_back()
    if not page.evaluate("window.kept"):  # then it was loaded, which is a view all the same
        page.wait_for_function("window.trackmate && !trackmate.q")
    wait_until(lambda: len(views(gateway)) == 2, "it is viewed again")


def test_a_prerendered_page_is_no_view_until_it_is_seen(
    dev: Dev, gateway: WebGateway, context: BrowserContext
) -> None:
    rules = '{"prerender": [{"source": "list", "urls": ["/next"]}]}'
    address = serve(
        gateway, f'<script type="speculationrules">{rules}</script><a href="/next">n</a>'
    )
    serve(gateway, tag(gateway, dev), path="/next")
    page = context.new_page()
    page.goto(address)
    wait_until(lambda: gateway.got["/next"] > 0, "it is prerendered")
    page.wait_for_timeout(2500)  # longer than a batch waits
    assert gateway.came == [], "nobody has seen it"
    page.click("a")
    page.wait_for_function("window.trackmate && location.pathname === '/next'")
    wait_until(lambda: views(gateway) == ["/next"], "it is seen")


# what a visitor allows


def test_denied_keeps_and_sends_nothing_and_granted_begins(
    dev: Dev, gateway: WebGateway, context: BrowserContext
) -> None:
    page, _ = opened(context, serve(gateway, tag(gateway, dev, consent="denied")))
    page.evaluate("trackmate.track('Before')")
    page.wait_for_timeout(1500)
    assert gateway.came == []
    assert page.evaluate("localStorage.length + sessionStorage.length") == 0
    page.evaluate("trackmate.consent('granted'); trackmate.track('After')")
    flushed(page)
    assert names(gateway) == ["After"]


def test_pending_waits_in_memory_alone_and_is_sent_once_granted(
    dev: Dev, gateway: WebGateway, context: BrowserContext
) -> None:
    page, _ = opened(context, serve(gateway, tag(gateway, dev, consent="pending")))
    page.evaluate("trackmate.track('Undecided')")
    page.wait_for_timeout(1500)
    assert gateway.came == []
    assert page.evaluate("localStorage.length + sessionStorage.length") == 0
    page.evaluate("trackmate.consent('granted')")
    flushed(page)
    assert names(gateway) == ["Undecided"]
    page.evaluate("trackmate.consent('denied')")
    assert page.evaluate("localStorage.length + sessionStorage.length") == 0


def test_cookieless_keeps_nothing_on_the_device(
    dev: Dev, gateway: WebGateway, context: BrowserContext
) -> None:
    page, _ = opened(context, serve(gateway, tag(gateway, dev, cookieless="true")))
    page.evaluate("trackmate.track('Bare'); trackmate.identify('u1')")
    flushed(page)
    assert names(gateway) == ["Bare"]
    assert (
        page.evaluate("localStorage.length + sessionStorage.length + document.cookie.length") == 0
    )


@pytest.mark.parametrize("signal", ["gpc", "dnt"])
def test_a_signal_of_the_browser_denies_where_the_site_says_so(
    dev: Dev, gateway: WebGateway, context: BrowserContext, signal: str
) -> None:
    name, value = {"gpc": ("globalPrivacyControl", "true"), "dnt": ("doNotTrack", "'1'")}[signal]
    context.add_init_script(f"Object.defineProperty(navigator, '{name}', {{ get: () => {value} }})")
    page, _ = opened(context, serve(gateway, tag(gateway, dev, **{signal: "deny"})))
    page.evaluate("trackmate.track('Signalled')")
    page.wait_for_timeout(1500)
    assert gateway.came == []
    other, _ = opened(context, serve(gateway, tag(gateway, dev), path="/ignores"))
    other.evaluate("trackmate.track('Ignored')")
    flushed(other)
    assert "Ignored" in names(gateway)
