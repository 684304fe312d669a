"""
What a figure costs, over a million events, and how soon a click is in it.

    python bench/insights.py

The events are put into the store's file as the pipeline puts them there; then `trackmate dev` runs
on it, and is asked over HTTP as the page asks. Beside a question stands what the same count costs
SQLite over the documents themselves, in the same run.
"""

import argparse
import asyncio
import json
import random
import sqlite3
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Page, sync_playwright

from run import MANIFEST, TRACKMATE, cpu_seconds, get, machine, wait_for_instance
from trackmate.embedded.affiliate import EmbeddedAffiliate, on_its_file
from trackmate.embedded.store import EmbeddedStore
from trackmate_consume.sink import Translated
from trackmate_consume.translate import to_document
from trackmate_contract.affiliate import Affiliate
from trackmate_contract.record import Record, Stamp

NAMES = ["Offer Viewed", "Added To Cart", "Checkout Started", "Booking Completed", "Search"]
WEIGHTS = [50, 20, 10, 5, 15]
DAY_MS = 86_400_000
QUESTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "totals": ("totals", {}),
    "over time, by the hour": ("over-time", {"every": "hour"}),
    "top events": ("top", {"of": "events"}),
    "top pages": ("top", {"of": "pages"}),
    "funnel of three": ("funnel", {"step": NAMES[:3]}),
    "totals of one event": ("totals", {"event": "Search"}),
}
SCANS = {
    "totals": """
        SELECT count(*), count(DISTINCT value ->> '$.event.anonymousId'),
               sum(value ->> '$.event.type' = 'page') FROM documents""",
    "top events": """
        SELECT coalesce(value ->> '$.event.event', value ->> '$.event.type'), count(*),
               count(DISTINCT value ->> '$.event.anonymousId')
        FROM documents GROUP BY 1 ORDER BY 2 DESC LIMIT 10""",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=40, help="each question")
    parser.add_argument("--clicks", type=int, default=40)
    asked = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as name:
        home = Path(name)
        (home / "affiliates").mkdir()
        (home / "affiliates" / "acme.yaml").write_text(MANIFEST, "utf-8")
        data = home / ".trackmate" / "data"
        data.mkdir(parents=True)
        asyncio.run(fill(data, asked.events))
        process = subprocess.Popen(
            [TRACKMATE, "dev", "affiliates", "--port", "0"], cwd=home, stdout=subprocess.DEVNULL
        )
        try:
            url = wait_for_instance(home / ".trackmate" / "instance.json")
            wait_until_quiet(process.pid)
            questions(url, data / "acme.db", asked.times)
            clicks(url, asked.clicks)
        finally:
            process.terminate()
            process.wait()


async def fill(data: Path, events: int) -> None:
    """Thirty days of events of a fifth as many people, stored as the pipeline stores them."""
    manifest: dict[str, Any] = {"apiVersion": "trackmate.io/v1alpha1", "kind": "Affiliate"}
    manifest |= {"metadata": {"name": "acme"}, "spec": {}}
    affiliate = EmbeddedAffiliate(Affiliate.model_validate(manifest), data, b"x" * 32, on_its_file)
    sink = EmbeddedStore(affiliate.database)
    rng = random.Random(1)
    since_ms = int(time.time() * 1000) - 29 * DAY_MS
    for first in range(0, events, 5000):
        batch = []
        for number in range(first, min(first + 5000, events)):
            at_ms = since_ms + number * 28 * DAY_MS // events
            value = json.dumps(event(rng, number, events)).encode()
            record = Record("events", 0, number, f"id-{number}", None, value, Stamp(at_ms, "web"))
            batch.append(Translated(record, (to_document(record),)))
        await sink.write(batch)
    began = time.perf_counter()
    await affiliate.insights.keep_all()
    took = time.perf_counter() - began
    print(
        f"- facts of {events:,} documents kept in {took:.1f} s: {took / events * 1e6:.1f} µs each"
    )
    await affiliate.close()


def event(rng: random.Random, number: int, events: int) -> Any:
    where = {"page": {"path": f"/offers/{rng.randrange(500)}", "title": "Offers"}}
    who = f"visitor-{rng.randrange(max(1, events // 5))}"
    if number % 4 == 0:
        return {"type": "page", "anonymousId": who, "context": where}
    named = rng.choices(NAMES, WEIGHTS)[0]
    return {"type": "track", "event": named, "anonymousId": who, "context": where}


def wait_until_quiet(pid: int) -> None:
    """Until the start is over: what it costs is not what a question costs."""
    before = -1.0
    while (now := cpu_seconds(pid)) - before > 0.02:
        before = now
        time.sleep(0.5)


def questions(url: str, file: Path, times: int) -> None:
    since = time.strftime("%Y-%m-%dT00:00:00Z", time.gmtime(time.time() - 30 * DAY_MS / 1000))
    print("\n| tile | p50 ms | p95 ms | a scan of the documents, ms | times as long |")
    print("|---|---|---|---|---|")
    with httpx.Client(base_url=f"{url}/api/affiliates/acme/insights/", trust_env=False) as client:
        for title, (question, asked) in QUESTIONS.items():
            params = {"from": since, **asked}
            took = sorted(timed(partial(ask, client, question, params)) for _ in range(times))
            middle, late = statistics.median(took), took[int(len(took) * 0.95)]
            beside = ""
            if title in SCANS:
                scan = timed(partial(run_scan, file, SCANS[title]))
                beside = f"{scan * 1000:.0f} | {scan / middle:.0f}"
            print(f"| {title} | {middle * 1000:.0f} | {late * 1000:.0f} | {beside or ' | '} |")


def ask(client: httpx.Client, question: str, asked: dict[str, Any]) -> None:
    client.get(question, params=asked, timeout=60).raise_for_status()


def run_scan(file: Path, sql: str) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(sql).fetchall()


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def clicks(url: str, number: int) -> None:
    """From sending an event to its figure on the page, with all of the month shown."""
    key = get(f"{url}/api/affiliates/acme")["keys"][0]["key"]
    with sync_playwright() as playwright, httpx.Client(trust_env=False) as client:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox"]
        )
        for shown in ("1h", "30d"):
            page = browser.new_page()
            page.goto(f"{url}/insights?range={shown}")
            page.locator("#connection", has_text="Live").wait_for()
            page.locator(".tile dd").first.wait_for()
            took = sorted(seen_after(page, client, url, key) for _ in range(number))
            print(
                f"- click to figure, {shown} shown: p50 {statistics.median(took):.2f} s, "
                f"p95 {took[int(len(took) * 0.95)]:.2f} s"
            )
            page.close()
        browser.close()


def seen_after(page: Page, client: httpx.Client, url: str, key: str) -> float:
    time.sleep(random.uniform(0.5, 1.5))  # a person clicks when they like
    before = page.locator(".tile dd").first.inner_text()
    began = time.perf_counter()
    client.post(
        f"{url}/v1/events",
        json={"event": "Click", "anonymousId": "me"},
        headers={"Authorization": f"Bearer {key}"},
    ).raise_for_status()
    page.wait_for_function(
        "(before) => document.querySelector('.tile dd').textContent !== before", arg=before
    )
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
