"""
The console page and the demo shop, in a real Chromium against a stand-in for the server.

Every test also claims that the page broke no content security policy and threw no error: the
`page` fixture says so at its end. Time is the browser's own clock, moved by hand where it matters.
"""

import base64
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from browser import chromium
from loopback import LOOPBACK
from waiting_for import wait_until

pytestmark = pytest.mark.needs("chromium")

PAGES = Path(__file__).parents[2] / "cli" / "src" / "trackmate" / "pages"
STANDIN = Path(__file__).with_name("console_standin.py")
WATCH_POLICY = """
addEventListener('securitypolicyviolation', (violation) =>
  console.error(`policy: ${violation.violatedDirective} ${violation.blockedURI}`));
"""
HOSTILE = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'
COUNTS = ("delivered", "duplicates", "conflicts", "filtered", "dead", "expired", "in_flight")
Scheme = Literal["light", "dark"]


class StandIn:
    """The tests' side of the stand-in: what it is told and what it heard."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = httpx.Client(base_url=url, **LOOPBACK)

    def tell(self, what: str, told: object = None) -> None:
        self._http.post(f"/stand-in/{what}", json=told).raise_for_status()

    def event(self, value: bytes, affiliate: str = "acme") -> None:
        encoded = base64.b64encode(value).decode()
        self.tell("event", {"affiliate": affiliate, "base64": encoded})

    def state(self) -> Any:
        return self._http.get("/stand-in/state").raise_for_status().json()

    def received(self) -> list[Any]:
        return [json.loads(one["body"]) for one in self.state()["received"]]

    def close(self) -> None:
        self._http.close()


@pytest.fixture
def standin() -> Iterator[StandIn]:
    """One for each test: a page that closes still sends its beacon, to its own stand-in."""
    command = [sys.executable, str(STANDIN)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        standin = StandIn(process.stdout.readline().strip())
        yield standin
        standin.close()
        process.terminate()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def context(browser: Browser, standin: StandIn) -> Iterator[BrowserContext]:
    context = browser.new_context(base_url=standin.url, locale="en-GB")
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    context.add_init_script(WATCH_POLICY)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    yield page
    unexpected = [one for one in complaints if not one.startswith("Failed to load resource")]
    assert unexpected == []


def open_console(page: Page, address: str = "/") -> None:
    """Open it and wait until it listens: what is sent from here on must be seen."""
    page.goto(address)
    expect(page.locator("#connection")).to_have_text("Live")


def named(name: str, **properties: object) -> bytes:
    return json.dumps({"event": name, "properties": properties}).encode()


def record(*, sha256_hex: str = sha256(b"{}").hexdigest()) -> Any:
    return {
        "stream": "events",
        "partition": 0,
        "offset": 1,
        "id": "m-1",
        "received": 1_780_000_000_000,
        "key": "web",
        "type": None,
        "size": 2,
        "sha256": sha256_hex,
        "base64": "e30=",
    }


def ledger(accepted: int, *, balanced: bool, **counts: int) -> Any:
    rows = [pipeline(accepted=accepted, **counts)]
    return {"accepted": accepted, "pipelines": rows, "balanced": balanced, "faults": []}


def pipeline(**fields: object) -> Any:
    row: dict[str, object] = {
        "name": "store",
        **dict.fromkeys(COUNTS, 0),
        "documents": 0,
        "lag_seconds": 0.2,
        "reasons": [],
        "last_error": "",
        "ready": True,
        "reason": "Running",
        "message": "",
        "settled": 0,
        "stream": None,
        "sink": "store",
        "dead_letters": 0,
        "replay": None,
    }
    return {**row, **fields}


def test_events_appear_newest_first_without_a_reload(page: Page, standin: StandIn) -> None:
    open_console(page)
    for name in ("Offer Viewed", "Added To Cart"):
        standin.event(named(name))
    expect(page.locator(".row .event-name")).to_have_text(["Added To Cart", "Offer Viewed"])


def test_a_row_has_the_name_the_event_gives_itself(page: Page, standin: StandIn) -> None:
    shown = {
        b'{"event": "Search", "type": "track"}': "Search",
        b'{"type": "page", "name": "Home"}': "page",
        b'{"name": "sensor"}': "sensor",
        b'{"event": 7}': "no name",
        b"null": "no name",
        b"not json": "no name",
        b"\xff\xfe": "not text",
    }
    open_console(page)
    for value in reversed(shown):
        standin.event(value)
    expect(page.locator(".row .event-name")).to_have_text(list(shown.values()))


def test_pause_holds_events_and_resume_shows_them(page: Page, standin: StandIn) -> None:
    open_console(page)
    page.get_by_role("button", name="Pause", exact=True).click()
    standin.event(named("One"))
    standin.event(named("Two"))
    resume = page.get_by_role("button", name="Resume (2 waiting)")
    expect(resume).to_be_visible()
    expect(page.locator("button.row")).to_have_count(0)
    resume.click()
    expect(page.locator("button.row")).to_have_count(2)


def test_the_list_holds_the_newest_five_hundred(page: Page, standin: StandIn) -> None:
    open_console(page)
    for number in range(510):
        standin.event(named(f"Event {number}"))
    expect(page.locator(".row .event-name").first).to_have_text("Event 509")
    expect(page.locator("button.row")).to_have_count(500)
    expect(page.locator(".row .event-name").last).to_have_text("Event 10")


def test_the_filter_reads_the_bytes(page: Page, standin: StandIn) -> None:
    open_console(page)
    standin.event(named("Search", query="Kyoto"))
    standin.event(named("Search", query="Lisbon"))
    expect(page.locator("button.row:visible")).to_have_count(2)
    page.locator("#filter").fill("kyoto")
    expect(page.locator("button.row:visible")).to_have_count(1)
    expect(page.locator("#shown")).to_have_text("1 of 2 events contain it")


def test_the_filter_holds_for_events_that_come_later(page: Page, standin: StandIn) -> None:
    open_console(page)
    page.locator("#filter").fill("kyoto")
    standin.event(named("Search", query="Lisbon"))
    standin.event(named("Search", query="Kyoto"))
    expect(page.locator("button.row:visible")).to_have_count(1)


def test_markup_in_an_event_stays_text(page: Page, standin: StandIn) -> None:
    """Nothing runs, and no policy had to stop it: the `page` fixture would have heard."""
    standin.tell("set", {"notices": [HOSTILE], "faults": [fault(message=HOSTILE)]})
    top = [{"name": HOSTILE, "events": 1}]
    standin.tell("set", {"figures": {"acme": {"minutes": [], "top": top}}})
    open_console(page)
    standin.event(json.dumps({"event": HOSTILE, "messageId": HOSTILE}).encode())
    row = page.locator("button.row")
    expect(row.locator(".event-name")).to_have_text(HOSTILE)
    row.click()
    expect(page.locator("#detail-title")).to_have_text(HOSTILE)
    page.get_by_role("tab", name="Pretty").click()
    expect(page.locator("#notices")).to_have_text(HOSTILE)
    assert page.evaluate("window.hacked") is None
    assert page.locator("img[src=x]").count() == 0


def test_the_detail_shows_the_exact_bytes(page: Page, standin: StandIn) -> None:
    value = '{ "event":  "Café",\t"order":9007199254740993123 , "a":1,"a":2}'
    open_console(page)
    standin.event(value.encode())
    page.locator("button.row").click()
    expect(page.locator(".sheet").first).to_have_text(value.replace("\t", "␉"))
    page.get_by_role("button", name="Copy the text of the event").click()
    expect(page.locator("#said")).to_have_text("Copied the text of the event.")
    assert page.evaluate("navigator.clipboard.readText()") == value


def test_the_pretty_view_says_it_is_not_the_bytes_and_keeps_the_digits(
    page: Page, standin: StandIn
) -> None:
    open_console(page)
    standin.event(rb'{"order":9007199254740993123,"a":[],"a":{"b":["\u00e9", null]}}')
    page.locator("button.row").click()
    page.get_by_role("tab", name="Pretty").click()
    panel = page.get_by_role("tabpanel", name="Pretty")
    expect(panel).to_contain_text("Pretty, not the bytes")
    assert panel.locator("pre").inner_text().splitlines() == [
        "{",
        '  "order": 9007199254740993123,',
        '  "a": [],',
        '  "a": {',
        '    "b": [',
        r'      "\u00e9",',
        "      null",
        "    ]",
        "  }",
        "}",
    ]


def test_the_sha256_is_reckoned_again_in_the_page(page: Page, standin: StandIn) -> None:
    open_console(page)
    standin.event(b'{"event":"Hello"}')
    page.locator("button.row").click()
    detail = page.locator("#detail")
    expect(detail).to_contain_text(sha256(b'{"event":"Hello"}').hexdigest())
    expect(detail).to_contain_text("It is that of the bytes shown")


def test_a_wrong_sha256_is_said(page: Page, standin: StandIn) -> None:
    open_console(page)
    standin.tell("frame", f"data: {json.dumps(record(sha256_hex='0' * 64))}\n\n")
    page.locator("button.row").click()
    expect(page.locator("#detail")).to_contain_text("It is NOT that of the bytes shown")


def test_bytes_that_are_not_utf8_are_shown_as_hex(page: Page, standin: StandIn) -> None:
    open_console(page)
    standin.event(b"\x00\xff<b>")
    page.locator("button.row").click()
    expect(page.locator(".sheet").first).to_contain_text("00000000  00 ff 3c 62 3e")
    expect(page.get_by_role("tabpanel", name="Exact bytes")).to_contain_text("not UTF-8")


def test_invisible_characters_are_marked(page: Page, standin: StandIn) -> None:
    open_console(page)
    standin.event("\ufeffa\x00b\u202ec\r\nd\x7f".encode())
    page.locator("button.row").click()
    shown = page.locator(".sheet").first.inner_text()
    assert shown == "[U+FEFF]a␀b[U+202E]c␍␊\nd␡"


def test_the_detail_lists_what_the_platform_wrote(page: Page, standin: StandIn) -> None:
    open_console(page)
    standin.event(b'{"event":"Hello","messageId":"m-1"}')
    page.locator("button.row").click()
    facts = page.locator(".facts")
    expect(facts).to_contain_text(re.compile(r"Stream\s*events\s*Partition\s*0\s*Offset\s*1"))
    expect(facts).to_contain_text(re.compile(r"tm-id\s*m-1"))
    expect(facts).to_contain_text(re.compile(r"tm-key\s*web"))


def test_the_keyboard_reaches_every_event_and_comes_back(page: Page, standin: StandIn) -> None:
    open_console(page)
    standin.event(named("Older"))
    standin.event(named("Newer"))
    expect(page.locator("button.row")).to_have_count(2)
    page.get_by_role("button", name="Pause", exact=True).focus()
    for key in ("Tab", "ArrowDown", "Enter"):
        page.keyboard.press(key)
    expect(page.locator("#detail-title")).to_have_text("Older")
    page.locator("button.row").first.click()
    expect(page.locator("#detail-title")).to_have_text("Newer")
    page.keyboard.press("Escape")
    expect(page.locator("#detail")).to_be_hidden()
    expect(page.locator("button.row").first).to_be_focused()


def test_books_that_balance_are_said_to(page: Page, standin: StandIn) -> None:
    standin.tell("ledger", ledger(1204, balanced=True, delivered=1200, in_flight=4))
    open_console(page)
    expect(page.locator("#verdict")).to_have_text(
        "The books balance: all 1,204 accepted events are accounted for."
    )


def test_books_that_do_not_balance_say_what_is_missing(page: Page, standin: StandIn) -> None:
    standin.tell("ledger", ledger(1204, balanced=False, delivered=1200, dead=1))
    open_console(page)
    expect(page.locator("#verdict")).to_have_text(
        "The books do not balance. store: 3 events missing (1,204 accepted, 1,201 accounted for)."
    )
    expect(page.locator(".tile", has_text="The books")).to_contain_text("do not balance")


def test_a_pipeline_is_reckoned_by_what_was_accepted_for_it(page: Page, standin: StandIn) -> None:
    late = pipeline(name="late", accepted=10, delivered=9)
    books = ledger(100, balanced=False, delivered=100)
    books["pipelines"].append(late)
    books["faults"] = [f"pipeline 'late': 1 event is missing {HOSTILE}"]
    standin.tell("ledger", books)
    open_console(page)
    expect(page.locator("#verdict")).to_have_text(
        "The books do not balance. late: 1 event missing (10 accepted, 9 accounted for)."
    )
    expect(page.locator("#ledger-faults")).to_contain_text("'late': 1 event is missing <img")
    expect(page.locator(".ledger td[data-title=accepted]")).to_have_text(["100", "10"])


def test_a_pipeline_says_where_it_goes_how_it_is_and_why_it_left_events_out(
    page: Page, standin: StandIn
) -> None:
    down = pipeline(
        name="to-crm",
        stream="events",
        sink="http",
        ready=False,
        reason="SinkDown",
        message=f"503 from the CRM {HOSTILE}",
        last_error=f"503 from the CRM {HOSTILE}",
        in_flight=1200,
        lag_seconds=90,
        dead=2,
        dead_letters=2,
        reasons=[{"term": "dead", "reason": "sink_refused", "events": 2}],
    )
    tell_pipelines(standin, down)
    open_console(page)
    shown = page.locator(".pipeline")
    expect(shown.locator("h3")).to_have_text("to-crm")
    expect(shown.locator(".way")).to_have_text("stream events → HTTP")
    expect(shown.locator(".state")).to_have_text("Sink is down")
    expect(shown.locator(".pipeline-message")).to_have_text(f"503 from the CRM {HOSTILE}")
    expect(shown.locator(".pipeline-figures")).to_contain_text("1,200 events, 90 s")
    expect(shown.locator(".reasons")).to_have_text(
        "2 dead: the sink refused it and took others sink_refused"
    )
    expect(shown.get_by_role("button", name="2 dead letters of to-crm")).to_be_visible()


def test_throughput_is_what_was_settled_between_two_looks(page: Page, standin: StandIn) -> None:
    page.clock.install()
    tell_pipelines(standin, pipeline(settled=100))
    open_console(page)
    throughput = page.locator(".pipeline-figures > div", has_text="Throughput").locator("dd")
    expect(throughput).to_have_text("\N{EN DASH}")
    tell_pipelines(standin, pipeline(settled=500))
    page.clock.run_for(2000)
    expect(throughput).to_have_text(re.compile(r"[1-9]\d* events/s"))
    tell_pipelines(standin, pipeline(settled=3))
    page.clock.run_for(2000)
    expect(throughput).to_have_text("\N{EN DASH}")


def test_the_focus_stays_where_it_is_while_figures_change(page: Page, standin: StandIn) -> None:
    tell_pipelines(standin, pipeline(in_flight=3))
    open_console(page)
    page.get_by_role("button", name="Pause store").focus()
    tell_pipelines(standin, pipeline(in_flight=7, dead_letters=1))
    expect(page.locator(".pipeline-figures")).to_contain_text("7 events")
    expect(page.get_by_role("button", name="Pause store")).to_be_focused()


def test_an_order_that_fails_is_said_beside_its_button(page: Page, standin: StandIn) -> None:
    refusal = json.dumps({"detail": f"It stays paused: replicas is 0 {HOSTILE}."})
    page.route("**/pipelines/store/pause", lambda r: r.fulfill(status=409, body=refusal))
    open_console(page)
    page.get_by_role("button", name="Pause store").click()
    expect(page.locator(".pipeline .said")).to_have_text(
        f"It stays paused: replicas is 0 {HOSTILE}."
    )
    page.route("**/pipelines/store/pause", lambda r: r.abort())
    page.get_by_role("button", name="Pause store").click()
    expect(page.locator(".pipeline .said")).to_contain_text("Is trackmate dev still running?")


def tell_pipelines(standin: StandIn, *pipelines: Any) -> None:
    books = {"accepted": 0, "pipelines": pipelines, "balanced": True, "faults": []}
    standin.tell("ledger", books)


def test_the_page_keeps_its_figures_fresh(page: Page, standin: StandIn) -> None:
    open_console(page)
    standin.tell("ledger", ledger(7, balanced=True, delivered=7))
    expect(page.locator("#accepted")).to_have_text("7 events accepted")


def test_a_hidden_page_asks_nothing(page: Page, standin: StandIn) -> None:
    page.clock.install()
    open_console(page)
    before = standin.state()["asked"]
    page.evaluate("""() => {
      Object.defineProperty(document, 'visibilityState', { get: () => 'hidden' });
      document.dispatchEvent(new Event('visibilitychange'));
    }""")
    page.clock.run_for(60_000)
    page.evaluate("fetch('/api/affiliates').then((answer) => answer.text())")  # comes after others
    assert standin.state()["asked"] == before + 1


def test_figures_become_a_chart_and_a_ranking(page: Page, standin: StandIn) -> None:
    minutes = [{"minute_ms": number * 60_000, "events": number} for number in range(60)]
    top = [{"name": "Search", "events": 9}, {"name": "Page Left", "events": 3}]
    standin.tell("set", {"figures": {"acme": {"minutes": minutes, "top": top}}})
    open_console(page)
    expect(page.get_by_role("img", name="Events per minute")).to_be_visible()
    assert page.locator(".chart .bar").count() == 60
    expect(page.locator("#minutes-total")).to_have_text("1,770 events in the last hour")
    ranked = page.locator(".frequent li")
    expect(ranked).to_have_text(["Search9", "Page Left3"])
    assert str(ranked.last.get_attribute("style")).startswith("--share: 33.3")


def fault(message: str) -> Any:
    return {"file": "acme.yaml", "line": 12, "path": "spec.streams[0].name", "message": message}


def test_faults_name_file_line_and_path(page: Page, standin: StandIn) -> None:
    standin.tell("set", {"faults": [fault("must be at least two characters: 'x'")]})
    open_console(page)
    expect(page.get_by_role("alert", name="Faults")).to_contain_text(
        "acme.yaml:12 spec.streams[0].name must be at least two characters: 'x'"
    )


def test_an_empty_page_says_what_to_do_first(page: Page, standin: StandIn) -> None:
    open_console(page)
    empty = page.locator("#empty")
    expect(empty).to_contain_text("Paste this line into a terminal")
    empty.get_by_role("button", name="Copy the curl line").click()
    expect(page.locator("#said")).to_have_text("Copied the curl line to try.")
    assert str(page.evaluate("navigator.clipboard.readText()")).startswith("curl 'http://127.0.0.1")
    standin.event(named("Hello"))
    expect(empty).to_be_hidden()


def test_without_an_affiliate_the_page_says_how_to_make_one(page: Page, standin: StandIn) -> None:
    standin.tell("set", {"affiliates": {}})
    page.goto("/")
    expect(page.locator("#empty")).to_contain_text("trackmate init acme")
    expect(page.locator("#ledger-title")).to_be_hidden()


def test_every_key_can_be_copied_and_a_secret_is_not_shown(page: Page) -> None:
    open_console(page)
    connect = page.locator("#connect")
    expect(connect).to_contain_text("tm_web_acme_4f9c2a71d0")
    expect(connect).not_to_contain_text("tm_srv_acme")
    connect.get_by_role("button", name="Copy the key server").click()
    expect(page.locator("#said")).to_have_text("Copied the key server.")
    assert page.evaluate("navigator.clipboard.readText()") == "tm_srv_acme_93be01aa57"


def test_without_a_key_the_page_says_how_to_make_one(page: Page, standin: StandIn) -> None:
    acme = httpx.get(f"{standin.url}/api/affiliates", **LOOPBACK).json()["affiliates"][0]
    keyless = {**acme, "keys": [], "snippet": None, "curl": None}
    standin.tell("set", {"affiliates": {"acme": keyless}})
    open_console(page)
    for place in ("#connect", "#empty"):
        expect(page.locator(place)).to_contain_text("trackmate keys create makes one")


def test_the_address_remembers_the_affiliate(page: Page, standin: StandIn) -> None:
    open_console(page)
    page.get_by_label("Affiliate").select_option("globex")
    expect(page).to_have_url(re.compile("#globex$"))
    expect(page).to_have_title("globex · Trackmate")
    page.reload()
    expect(page.get_by_label("Affiliate")).to_have_value("globex")


def test_events_of_another_affiliate_do_not_appear(page: Page, standin: StandIn) -> None:
    open_console(page, "/#globex")
    standin.event(named("Theirs"), "acme")
    standin.event(named("Ours"), "globex")
    expect(page.locator(".row .event-name")).to_have_text(["Ours"])


def test_a_lost_connection_is_said_and_mended(page: Page, standin: StandIn) -> None:
    open_console(page)
    standin.event(named("Before"))
    standin.tell("set", {"away": True})
    standin.tell("hang-up")
    expect(page.locator("#connection")).to_have_text("Connection lost")
    expect(page.locator("#lost")).to_contain_text("Trying again")
    standin.tell("set", {"away": False})
    expect(page.locator("#connection")).to_have_text("Live", timeout=15_000)
    expect(page.locator("#lost")).to_be_hidden()
    standin.event(named("After"))
    expect(page.locator(".row .event-name")).to_have_text(["After", "Before"])
    expect(page.locator(".gap")).to_contain_text("Events of that time are not in this list.")


def test_skipped_events_are_said_in_the_list(page: Page, standin: StandIn) -> None:
    open_console(page)
    standin.tell("frame", 'event: skipped\ndata: {"events": 1200}\n\n')
    expect(page.locator(".gap")).to_contain_text("1,200 events came too fast")


def test_a_repeated_record_is_one_row(page: Page, standin: StandIn) -> None:
    open_console(page)
    for _ in range(2):
        standin.tell("frame", f"data: {json.dumps(record())}\n\n")
    standin.event(named("Last"))
    expect(page.locator(".row .event-name")).to_have_text(["Last", "no name"])


LOW_CONTRAST = """() => {
  const numbers = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((one) => one / 255)
    .map((one) => (one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4))
    .reduce((sum, one, index) => sum + one * [0.2126, 0.7152, 0.0722][index], 0);
  const ground = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const color = numbers(getComputedStyle(at).backgroundColor);
      if (color.length === 3) return color;
    }
    return [255, 255, 255];
  };
  const ratio = (node) => {
    const [a, b] = [light(numbers(getComputedStyle(node).color)), light(ground(node))];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !node.checkVisibility()) continue;
    if (node.closest('svg, :disabled')) continue;
    if (ratio(node) < 4.5) found.push(`${node.className}: ${walker.currentNode.data}`);
  }
  return found;
}"""


def show_everything(page: Page, standin: StandIn) -> None:
    """Faults, an alarm, a chart, long names and an open event: what can overflow or fade does."""
    minutes = [{"minute_ms": number * 60_000, "events": number} for number in range(60)]
    top = [{"name": "A very long name " * 9, "events": 123_456}]
    standin.tell("set", {"figures": {"acme": {"minutes": minutes, "top": top}}})
    standin.tell(
        "set", {"notices": ["kind Deployment is passed over"], "faults": [fault("x" * 90)]}
    )
    books = ledger(123_456_789, balanced=False, delivered=123_456_780, dead=3)
    books["pipelines"].append(
        pipeline(
            name="p" * 60,
            accepted=1,
            sink="http",
            stream="s" * 60,
            reason="SinkUnfit",
            message="\u202ex" * 200,
            last_error=HOSTILE * 3,
            dead_letters=123_456_789,
            reasons=[{"term": "dead", "reason": "y" * 200, "events": 123_456_789}],
        )
    )
    books["faults"] = ["z" * 200]
    standin.tell("ledger", books)
    open_console(page)
    standin.event(json.dumps({"event": "Long" * 60, "messageId": "i" * 150, "a\u200b": 1}).encode())
    standin.tell("frame", 'event: skipped\ndata: {"events": 1200}\n\n')
    expect(page.locator(".frequent")).to_be_visible()
    page.locator("button.row").click()


def overflow(page: Page) -> int:
    return int(page.evaluate("document.documentElement.scrollWidth - innerWidth"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_the_console_fits_and_can_be_read(
    page: Page, standin: StandIn, *, scheme: Scheme, width: int
) -> None:
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    page.set_viewport_size({"width": width, "height": 800})
    show_everything(page, standin)
    assert overflow(page) <= 0
    assert page.evaluate(LOW_CONTRAST) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_shop_fits_and_can_be_read(page: Page, *, scheme: Scheme) -> None:
    page.emulate_media(color_scheme=scheme)
    page.goto("/demo")
    expect(page.locator("#sent-count")).to_have_text("1")
    for width in (360, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        assert overflow(page) <= 0
        assert page.evaluate(LOW_CONTRAST) == []


def test_dark_is_dark_and_light_is_light(page: Page) -> None:
    grounds = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        open_console(page)
        grounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert grounds == ["rgb(244, 245, 243)", "rgb(15, 21, 20)"]


def buy(page: Page) -> None:
    page.get_by_role("button", name="View Four days in Lisbon").click()
    page.get_by_role("button", name="Add to cart").click()
    page.get_by_role("button", name="Check out").click()
    page.get_by_role("button", name="Book it").click()
    expect(page.locator("#booked-title")).to_be_visible()


def test_the_shop_tells_of_a_booking_in_order(page: Page, standin: StandIn) -> None:
    page.goto("/demo")
    buy(page)
    expect(page.locator(".state[data-state=stored]")).to_have_count(5)
    sent = standin.received()
    assert {event.get("event", event["type"]) for event in sent} == {
        "page",
        "Offer Viewed",
        "Added To Cart",
        "Checkout Started",
        "Booking Completed",
    }
    booking = next(event for event in sent if event.get("event") == "Booking Completed")
    assert booking["properties"]["total"] == 840


def test_the_shop_tells_of_searches_and_subscribers(page: Page, standin: StandIn) -> None:
    page.goto("/demo")
    page.locator("#search-text").fill("sea")
    page.keyboard.press("Enter")
    expect(page.locator("#found")).to_have_text("3 of 6 journeys for “sea”")
    page.locator("#newsletter-email").fill("ada@example.com")
    page.keyboard.press("Enter")
    expect(page.locator(".state[data-state=stored]")).to_have_count(3)
    by_name = {event.get("event", event["type"]): event for event in standin.received()}
    assert by_name["Search"]["properties"] == {"query": "sea", "results": 3}
    assert by_name["identify"]["userId"] == "ada@example.com"


def test_an_event_says_who_where_and_when(page: Page, standin: StandIn) -> None:
    page.goto("/demo")
    expect(page.locator(".state[data-state=stored]")).to_have_count(1)
    (event,) = standin.received()
    assert set(event) >= {"messageId", "anonymousId", "type", "timestamp", "context"}
    address = {"url": f"{standin.url}/demo", "path": "/demo", "search": ""}
    assert event["context"]["page"] == {**address, "title": "Acme Travel", "referrer": ""}


def test_the_visitor_stays_the_same_over_pages(page: Page, standin: StandIn) -> None:
    def views() -> set[str]:
        return {event["messageId"] for event in standin.received() if event["type"] == "page"}

    for number in (1, 2):
        page.goto("/demo")
        wait_until(lambda n=number: len(views()) == n, "the view is sent")  # type: ignore[misc]
    assert len({event["anonymousId"] for event in standin.received()}) == 1


def test_leaving_the_page_is_told_once(page: Page, standin: StandIn) -> None:
    page.goto("/demo")
    expect(page.locator(".state[data-state=stored]")).to_have_count(1)
    page.goto("/")
    expect(page.locator("#accepted")).to_have_text("2 events accepted")
    left = standin.state()["received"][1:]
    assert [json.loads(one["body"])["event"] for one in left] == ["Page Left"]
    assert json.loads(left[0]["body"])["properties"]["dwellMs"] > 0
    assert left[0]["type"] == "text/plain;charset=UTF-8"  # which needs no preflight
    assert left[0]["key"] == 'tm_web_7Kq2mZ"&<'


def test_a_tab_that_is_hidden_twice_was_left_twice(page: Page, standin: StandIn) -> None:
    page.goto("/demo")
    for hidden in ("true", "false", "true"):
        page.evaluate(f"""() => {{
          Object.defineProperty(document, 'hidden', {{ configurable: true, value: {hidden} }});
          document.dispatchEvent(new Event('visibilitychange'));
        }}""")
    names = page.locator("#sent-events li b")
    expect(names).to_have_text(["Page Left", "Page Left", "page"])


def test_what_was_sent_is_shown_with_its_exact_body(page: Page, standin: StandIn) -> None:
    page.goto("/demo")
    line = page.locator("#sent-events li")
    line.locator("summary").click()
    body = line.locator("pre").inner_text()
    expect(line.locator(".state")).to_have_text("stored")
    assert [one["body"] for one in standin.state()["received"]] == [body]


def test_a_busy_server_gets_the_same_bytes_again_when_it_asked(
    page: Page, standin: StandIn
) -> None:
    standin.tell("set", {"answers": [{"status": 503, "headers": {"Retry-After": "30"}}]})
    page.clock.install()
    page.goto("/demo")
    expect(page.locator("#sent-events .state")).to_have_text("waiting to send again")
    page.clock.run_for(29_000)
    expect(page.locator("#sent-events .state")).to_have_text("waiting to send again")
    page.clock.run_for(1_500)
    expect(page.locator("#sent-events .state")).to_have_text("stored")
    first, second = standin.state()["received"]
    assert first["body"] == second["body"]


def test_a_server_that_does_not_answer_is_tried_again(page: Page, standin: StandIn) -> None:
    page.clock.install()
    page.route("**/v1/events*", lambda route: route.abort())
    page.goto("/demo")
    expect(page.locator("#sent-events .state")).to_have_text("waiting to send again")
    page.unroute("**/v1/events*")
    page.clock.run_for(4_000)
    expect(page.locator("#sent-events .state")).to_have_text("stored")


def test_a_refusal_is_final(page: Page, standin: StandIn) -> None:
    standin.tell("set", {"answers": [{"status": 400}]})
    page.clock.install()
    page.goto("/demo")
    expect(page.locator("#sent-events .state")).to_have_text("refused: 400")
    page.clock.run_for(600_000)
    expect(page.locator("#sent-events .state")).to_have_text("refused: 400")
    assert len(standin.received()) == 1
