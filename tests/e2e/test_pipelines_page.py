"""
Pipelines and dead letters on the console's page, in a real Chromium on a real `trackmate dev`:
what is put aside is shown with its reason and its exact bytes, runs nothing, and is replayed by a
click; a pipeline is paused and resumed by another.

How the page looks in each state that a server can be in is tested in `tests/cli/test_pages.py`.
"""

import json
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from loopback import LOOPBACK
from running import Dev
from waiting_for import wait_until

StartDev = Callable[..., Dev]

PIPELINE = """\
apiVersion: trackmate.io/v1alpha1
kind: Pipeline
metadata: {{name: {name}, namespace: trackmate-acme}}
spec:
  stream: events
  format: {form}
  sink: {{stdout: {{}}}}
  delivery: {{batch: {{wait: 1s}}}}
"""

HOSTILE = [
    '"<img src=x onerror=window.hacked=1>"',
    '"<script>window.hacked=1</script><svg onload=window.hacked=1>"',
    r'"\u202egnol dna desrever \u0007\u001b[31m"',
    '"\u202ereversed\u2066 with the characters themselves"',
    '"' + "W" * 200 + '"',
    "12345678901234567890.10",
]
"""JSON that is no object: a table has no row for it, so each is a dead letter."""

pytestmark = pytest.mark.needs("chromium")


def declare(dev: Dev, *, form: str, name: str = "to-out") -> None:
    """Save the pipeline's file, and wait until it is what runs."""
    changes = dev.log.count(f"'acme/{name}'")
    (dev.manifests / f"{name}.yaml").write_text(PIPELINE.format(name=name, form=form))
    wait_until(lambda: dev.log.count(f"'acme/{name}'") > changes, "the file is followed")
    wait_until(lambda: line(dev, name) and line(dev, name)["ready"], f"{name} runs")


def line(dev: Dev, name: str = "to-out") -> Any:
    answer = httpx.get(f"{dev.url}/api/affiliates/acme", **LOOPBACK).json()
    found = [one for one in answer["ledger"]["pipelines"] if one["name"] == name]
    return found[0] if found else None


def post(dev: Dev, events: list[str], ids: list[str] | None = None) -> None:
    """Send each as a request of its own, so that each keeps its bytes."""
    headers = {"Authorization": f"Bearer {dev.key('server')}", "Content-Type": "application/json"}
    with httpx.Client(**LOOPBACK, headers=headers) as client:
        for number, event in enumerate(events):
            own = {"Idempotency-Key": ids[number]} if ids else {}
            answer = client.post(f"{dev.url}/v1/events", content=event.encode(), headers=own)
            assert answer.status_code == 200, answer.text


def put_aside(start_dev: StartDev, events: list[str], ids: list[str] | None = None) -> Dev:
    """An instance with a pipeline that put these events aside."""
    dev = start_dev()
    declare(dev, form="csv")
    post(dev, events, ids)
    wait_until(lambda: line(dev)["dead_letters"] == len(events), "all are put aside")
    return dev


def open_letters(page: Page, dev: Dev) -> Locator:
    page.goto(f"{dev.url}/")
    page.get_by_role("button", name="dead letters of to-out").click()
    letters = page.get_by_role("dialog", name="Dead letters of to-out")
    expect(letters.locator(".letter").first).to_be_visible()
    return letters


def test_dead_letters_are_shown_with_reason_origin_and_exact_bytes_and_run_nothing(
    start_dev: StartDev, page: Page
) -> None:
    ids = [f"<b onclick=window.hacked=1>{number}" for number in range(len(HOSTILE))]
    dev = put_aside(start_dev, HOSTILE, ids)
    letters = open_letters(page, dev)
    items = letters.locator(".letter")
    expect(items).to_have_count(len(HOSTILE))
    for index, event in enumerate(HOSTILE):
        item = items.nth(index)
        expect(item.locator("h3").first).to_contain_text("it cannot be written in the format")
        expect(item.locator(".letter-detail")).to_contain_text("csv needs an object or an array")
        expect(item).to_contain_text("after 1 attempt")
        expect(item).to_contain_text(ids[index])
        item.get_by_role("button", name="Show the bytes").click()
        expect(item.locator(".letter-bytes")).to_contain_text(sha256(event.encode()).hexdigest())
        expect(item).to_contain_text("It is that of the bytes shown")
    assert items.nth(0).locator(".sheet").first.inner_text() == HOSTILE[0]
    assert letters.locator("img, script, svg, b").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert letters.evaluate("(dialog) => dialog.scrollWidth - dialog.clientWidth") <= 0


def test_replay_says_what_became_of_one_letter_and_of_all(start_dev: StartDev, page: Page) -> None:
    dev = put_aside(start_dev, ['"one"', '"two"', '"three"'])
    letters = open_letters(page, dev)
    said = letters.locator(".said")

    letters.locator(".letter").first.get_by_role("button", name="Replay").click()
    expect(said).to_have_text("1 dead letter sent again; it was refused again.", timeout=15_000)
    expect(letters.locator(".letter")).to_have_count(3)
    expect(letters.locator(".letter").last).to_contain_text("after 2 attempts")

    letters.get_by_role("button", name="Replay all").click()
    expect(said).to_have_text("3 dead letters sent again; 3 were refused again.", timeout=15_000)

    declare(dev, form="json")
    letters.get_by_role("button", name="Replay all").click()
    expect(said).to_have_text(
        "3 dead letters sent again; none is a dead letter now.", timeout=15_000
    )
    expect(letters.locator(".letter")).to_have_count(0)
    assert dev.settle()["balanced"]
    assert (line(dev)["delivered"], line(dev)["dead"]) == (3, 0)


def test_a_pipeline_is_paused_and_resumed_by_a_click(start_dev: StartDev, page: Page) -> None:
    dev = start_dev()
    declare(dev, form="json")
    page.goto(f"{dev.url}/")
    shown = page.locator(".pipeline", has_text="to-out")
    expect(shown.locator(".state")).to_have_text("Running")
    expect(shown.locator(".way")).to_have_text("stream events → standard output")

    shown.get_by_role("button", name="Pause to-out").click()
    expect(shown.locator(".state")).to_have_text("Paused")
    expect(shown.locator(".pipeline-message")).to_have_text("paused in the console")
    post(dev, [json.dumps({"n": 1})])
    expect(shown.locator(".pipeline-figures")).to_contain_text("1 event,")
    assert line(dev)["in_flight"] == 1

    shown.get_by_role("button", name="Resume to-out").click()
    expect(shown.locator(".state")).to_have_text("Running")
    expect(shown.locator(".pipeline-figures")).to_contain_text("nothing", timeout=15_000)
    assert line(dev)["delivered"] == 1


def test_letters_come_in_pages_and_the_dialog_gives_the_focus_back(
    start_dev: StartDev, page: Page
) -> None:
    dev = put_aside(start_dev, [f'"event {number}"' for number in range(23)])
    letters = open_letters(page, dev)
    expect(letters.locator(".letter")).to_have_count(20)
    letters.get_by_role("button", name="Later").click()
    expect(letters.locator(".letter")).to_have_count(3)
    letters.get_by_role("button", name="Earlier").click()
    expect(letters.locator(".letter")).to_have_count(20)
    page.keyboard.press("Escape")
    expect(letters).to_be_hidden()
    expect(page.get_by_role("button", name="23 dead letters of to-out")).to_be_focused()
