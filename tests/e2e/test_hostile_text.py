"""
What strangers write into events, in every place that an event has for text, sent to a real
`trackmate dev` and then looked at in every way there is: on the console's page in a real Chromium,
in a spreadsheet's cells, on a terminal, and in the log. It is shown, and nothing obeys it.
"""

import csv
import io
import json
import os
import pty
import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

import hostile_text
from browser import complaints, visitor
from receiver import Receiver, receiving
from running import ACME, TRACKMATE, Dev, serving
from waiting_for import wait_until
from wire import exchange, request

PIPELINES = """\
apiVersion: trackmate.io/v1alpha1
kind: Pipeline
metadata: {{name: to-table, namespace: trackmate-acme}}
spec:
  stream: events
  format: csv
  transform: {{jq: '.properties + {{event, anonymousId, url: .context.page.url, list: [.event]}}'}}
  sink: {{http: {{url: "{url}/table"}}}}
  delivery: {{batch: {{events: 20, wait: 1s}}}}
---
apiVersion: trackmate.io/v1alpha1
kind: Pipeline
metadata: {{name: aside, namespace: trackmate-acme}}
spec:
  stream: events
  transform: {{jq: 'error(.event)'}}
  sink: {{stdout: {{}}}}
"""
PRIVACY = "\n    privacy: {ip: Keep, userAgent: true}\n"
COUNT = len(hostile_text.EVERY)


@dataclass
class Seen:
    """One instance that was sent all of it, and the receiver of its table."""

    dev: Dev
    backend: Receiver


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    with ExitStack() as stack:
        backend = stack.enter_context(receiving())
        manifest = ACME.rstrip("\n") + PRIVACY
        home = tmp_path_factory.mktemp("hostile") / "home"
        home.mkdir()
        pipelines = PIPELINES.format(url=backend.url)
        dev = stack.enter_context(serving(home, manifest, pipelines))
        send(dev)
        wait_until(lambda: not waiting(dev), "all is settled")
        yield Seen(dev, backend)


def send(dev: Dev) -> None:
    """Each text in a request of its own, in the headers too; some of the requests are refused."""
    server, browser = dev.key("server"), dev.key("web")
    for number, text in enumerate(hostile_text.EVERY):
        written = hostile_text.header(text)
        headers = ["Content-Type: application/json", f"User-Agent: {written}"]
        body = hostile_text.event(text, number)
        own = [*headers, f"Authorization: Bearer {server}"]
        sent = exchange(dev, request("/v1/events", *own, body=body))
        assert sent.status in {200, 400}, sent.body  # 400: a control character in a header
        if sent.status == 400:
            sent = exchange(dev, request("/v1/events", own[0], own[2], body=body))
            assert sent.status == 200, sent.body
        other = [*headers, f"Authorization: Bearer {browser}", f"Origin: {written}"]
        exchange(dev, request("/v1/events", *other, body=body))
        exchange(dev, request("/v1/events", f"X-Trackmate-Key: {written}", body=body))


def waiting(dev: Dev) -> int:
    lines = dev.audit()["pipelines"]
    assert all(line["accepted"] >= COUNT for line in lines)
    return sum(int(line["in_flight"]) for line in lines)


# the page


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that ends without a complaint, on which nothing ran and nothing was slipped in."""
    with visitor(browser) as context:
        page = context.new_page()
        page.add_init_script("window.hacked = undefined; window.polluted = () => ({}).polluted;")
        heard = complaints(page)
        asked: list[str] = []
        page.on("request", lambda asks: asked.append(asks.url))
        yield page
        assert heard == []
        assert page.evaluate("window.hacked") is None
        assert page.evaluate("Object.keys(Object.prototype)") == []
        assert [url for url in asked if not url.startswith("http://127.0.0.1:")] == []
        foreign = (
            "script:not([src^='/pages/']), iframe, base, meta[http-equiv], object, embed, style"
        )
        assert page.locator(foreign).count() == 0
        assert (
            page.locator("main img, dialog img, dialog svg, form, a:not([href^='/'])").count() == 0
        )
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


@pytest.mark.needs("chromium")
def test_live_view_and_detail_show_it_and_run_nothing(seen: Seen, page: Page) -> None:
    page.goto(f"{seen.dev.url}/")
    expect(page.locator("#connection")).to_have_text(re.compile("Live|Connected"))
    before = page.locator("#rows li").count()
    send(seen.dev)

    expect(page.locator("#rows li button.row").nth(before + COUNT - 1)).to_be_attached()
    rows = page.locator("#rows button.row")
    for index in range(rows.count()):
        rows.nth(index).click()
        expect(page.locator("#detail")).to_be_visible()
        page.get_by_role("tab", name="Pretty").click()
    expect(page.locator("#frequent li").first).to_be_visible()


@pytest.mark.needs("chromium")
def test_dead_letters_show_it_and_run_nothing(seen: Seen, page: Page) -> None:
    page.goto(f"{seen.dev.url}/")
    page.get_by_role("button", name="dead letters of aside").click()
    letters = page.get_by_role("dialog", name="Dead letters of aside")
    expect(letters.locator(".letter").first).to_be_visible()
    shown = 0
    while True:
        shown += show_all(letters)
        later = letters.get_by_role("button", name="Later")
        if not later.count():
            break
        first = letters.get_by_role("button", name="bytes of dead letter").first
        label = first.get_attribute("aria-label") or ""
        later.click()
        expect(first).not_to_have_attribute("aria-label", label)
    assert shown >= COUNT


def show_all(letters: Locator) -> int:
    """Open the bytes of each letter of a page; how many there are."""
    items = letters.locator(".letter")
    for index in range(items.count()):
        items.nth(index).get_by_role("button", name="bytes of dead letter").click()
    expect(letters.locator(".letter-bytes").last).to_be_visible()
    return items.count()


# a spreadsheet


def test_no_cell_of_a_table_is_a_formula(seen: Seen) -> None:
    cells = [
        cell
        for table in seen.backend.requests
        for row in csv.reader(io.StringIO(table.body.decode(), newline=""))
        for cell in row
    ]

    assert sum("1+1" in cell for cell in cells) > 20, "no formula came to the table"
    assert [cell for cell in cells if runs(cell)] == []


def runs(cell: str) -> bool:
    """Whether a spreadsheet may take it for a formula: it passes over what has no width."""
    begun = re.sub(r"^[\s\x00-\x1f\x7f\u200b-\u200f\u2060\ufeff]+", "", cell)
    return (
        begun != ""
        and begun[0] in "=+-@\uff1d\uff0b\uff0d\uff20"
        and not re.fullmatch(r"-[0-9]+", cell)
    )


# a terminal


COMMANDS = [
    ["tail", "acme"],
    ["tail", "acme", "events", "--limit", "5"],
    ["dead-letters", "list", "acme/aside"],
    ["dead-letters", "show", "acme/nothing", "1"],
    ["status"],
    ["status", "acme"],
    ["audit", "acme"],
    ["doctor"],
]
OURS = re.compile(r"\x1b\[(0|1|2|31|32|33|1;31|1;32)?m")  # bold, dim, red, green, yellow
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u2029]")


def on_a_terminal(home: Path, *arguments: str) -> str:
    """What a command writes to a terminal, with its line ends as they were written."""
    ours, theirs = pty.openpty()
    command = subprocess.Popen(
        [TRACKMATE, *arguments],
        cwd=home,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "200"},
    )
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 1 << 16):
            shown += piece
    except OSError:  # the other end was closed
        pass
    finally:
        os.close(ours)
        command.wait()
    return shown.decode().replace("\r\n", "\n")


def check_harmless(shown: str) -> None:
    assert shown.strip()
    rest = OURS.sub("", shown)
    found = CONTROL.search(rest)
    assert found is None, rest[max(0, found.start() - 40) : found.end() + 40]


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_no_command_lets_it_drive_the_terminal(seen: Seen, arguments: list[str]) -> None:
    check_harmless(on_a_terminal(seen.dev.home, *arguments))


def test_a_dead_letter_does_not_drive_the_terminal_that_shows_it(seen: Seen) -> None:
    letters = seen.dev.read("dead-letters", "list", "acme/aside", "--limit", "1000")["letters"]
    number = next(one["number"] for one in letters if one["id"].startswith(hostile_text.WORST))

    shown = on_a_terminal(seen.dev.home, "dead-letters", "show", "acme/aside", str(number))

    check_harmless(shown)
    assert shown.count("\\x1b") >= 2 * hostile_text.WORST.count("\x1b"), "its id and its detail"


def test_markup_and_emoji_of_an_event_are_shown_as_written(seen: Seen) -> None:
    shown = on_a_terminal(seen.dev.home, "dead-letters", "list", "acme/aside", "--limit", "1000")
    folded = re.sub(r"\s", "", OURS.sub("", shown))

    assert ":bomb:[boldred]markup[/][link=http://evil.example]x[/link]\\" in folded


def test_try_and_plan_do_not_let_a_file_drive_the_terminal(seen: Seen, tmp_path: Path) -> None:
    pipeline = PIPELINES.format(url="http://127.0.0.1:1").partition("---\n")[0]
    (tmp_path / "pipeline.yaml").write_text(pipeline)
    lines = [hostile_text.event(text, n) for n, text in enumerate(hostile_text.EVERY)]
    (tmp_path / "events.json").write_bytes(b"\n".join(lines))
    evil = json.dumps("".join(hostile_text.TERMINAL))
    (tmp_path / "evil.yaml").write_text(
        pipeline.replace("format: csv", f"format: {evil}").replace("to-table", "evil")
    )
    (tmp_path / "odd.yaml").write_text(f"apiVersion: {evil}\nkind: {evil}\n")

    tried = on_a_terminal(tmp_path, "try", "pipeline.yaml", "events.json")
    planned = on_a_terminal(seen.dev.home, "plan", "-f", str(tmp_path))

    check_harmless(tried)
    check_harmless(planned)
    assert "\\x1b" in tried
    assert "\\x1b" in planned


def test_raw_and_json_stay_byte_exact(seen: Seen) -> None:
    sent = {hostile_text.event(text, number) for number, text in enumerate(hostile_text.EVERY)}

    raw = seen.dev.command("tail", "acme", "--raw").stdout.split(b"\n")
    [first, *_] = seen.dev.read("dead-letters", "list", "acme/aside")["letters"]
    shown = seen.dev.command("dead-letters", "show", "acme/aside", str(first["number"]), "--raw")

    assert set(raw) - {b""} == sent
    assert {event.value for event in seen.dev.tail()} == sent
    assert shown.stdout in sent


# the log


def test_every_line_of_the_log_is_ours(seen: Seen) -> None:
    lines = seen.dev.log.splitlines()
    logged = [line for line in lines if line.startswith("{")]

    entries: list[Any] = [json.loads(line) for line in logged]
    assert {entry["message"] for entry in entries} <= {"refused", "waits", "goes on"}
    assert any("forged" in entry.get("detail", "") for entry in entries)
    assert not [line for line in lines if CONTROL.search(line)]
    assert [line for line in lines if "forged" in line and line not in logged] == []
