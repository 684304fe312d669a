"""
The figures of an affiliate over HTTP, of a running `trackmate dev`: each question's answer, and
what is said to a question that has none.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from loopback import LOOPBACK
from running import ACME, Dev, serving

PEOPLE = {"ann": ["View", "Cart", "Pay"], "ben": ["View", "Cart"], "cem": ["Cart", "View"]}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    """An instance with three visitors of a shop."""
    with serving(tmp_path_factory.mktemp("shop"), ACME) as dev:
        for person, names in PEOPLE.items():
            view = {"type": "page", "userId": person, "context": {"page": {"path": "/"}}}
            steps = [{"type": "track", "userId": person, "event": name} for name in names]
            for event in (view, *steps):
                dev.post(event)
        dev.settle()
        yield dev


def ask(dev: Dev, question: str, **asked: Any) -> httpx.Response:
    url = f"{dev.url}/api/affiliates/acme/insights/{question}"
    return httpx.get(url, params=asked, **LOOPBACK)


def answer(dev: Dev, question: str, **asked: Any) -> Any:
    return ask(dev, question, **asked).raise_for_status().json()


def test_totals_are_of_the_last_day_without_a_time(shop: Dev) -> None:
    found = answer(shop, "totals", stream="events")

    assert (found["events"], found["people"], found["views"]) == (10, 3, 3)
    length = datetime.fromisoformat(found["to"]) - datetime.fromisoformat(found["from"])
    assert length == timedelta(days=1)


def test_a_filter_is_of_the_events_name_page_or_stream(shop: Dev) -> None:
    assert answer(shop, "totals", event="Pay")["people"] == 1
    assert answer(shop, "totals", page="/")["events"] == 3
    assert answer(shop, "totals", stream="orders")["events"] == 0
    assert answer(shop, "totals", event="<none>")["events"] == 0


def test_counts_over_time_are_by_minute_hour_or_day_and_add_up(shop: Dev) -> None:
    now = datetime.now(UTC)
    for back, every in ((1, "minute"), (48, "hour"), (24 * 30, "day"), (24 * 5000, "month")):
        since = (now - timedelta(hours=back)).isoformat()
        found = answer(shop, "over-time", stream="events", **{"from": since})
        assert found["every"] == every
        assert sum(one["events"] for one in found["counts"]) == 10
        starts = [one["start"] for one in found["counts"]]
        assert starts == sorted(starts)


def test_top_ranks_events_and_viewed_pages(shop: Dev) -> None:
    events = answer(shop, "top", most=2)
    pages = answer(shop, "top", of="pages")

    assert [(one["events"], one["people"]) for one in events["top"]] == [(3, 3), (3, 3)]
    assert pages["top"] == [{"name": "/", "events": 3, "people": 3}]


def test_a_funnel_says_how_many_came_so_far(shop: Dev) -> None:
    found = answer(shop, "funnel", step=["View", "Cart", "Pay"], within="1h")

    assert [one["people"] for one in found["steps"]] == [3, 2, 1]
    assert [one["conversion"] for one in found["steps"]] == [1, pytest.approx(2 / 3), 1 / 3]
    assert found["steps"][0]["median_s"] is None
    assert 0 <= found["steps"][1]["median_s"] <= found["steps"][1]["p90_s"]


def test_a_figure_counts_what_was_stored_just_before(shop: Dev) -> None:
    for number in range(1, 4):
        shop.post({"event": "Just Now"}, stream="images")
        shop.settle()
        assert answer(shop, "totals", event="Just Now")["events"] == number


@pytest.mark.parametrize(
    ("question", "asked", "told"),
    [
        ("totals", {"from": "yesterday"}, "'yesterday' is not a time; write it with its zone"),
        (
            "totals",
            {"from": "2026-11-02T00:00:00Z", "to": "2026-11-01T00:00:00Z"},
            "from=2026-11-02T00:00:00Z is not before to=2026-11-01T00:00:00Z; exchange them",
        ),
        ("over-time", {"zone": "Mars/Crater"}, "'Mars/Crater' is no time zone; write one as"),
        ("over-time", {"zone": "../../etc/passwd"}, "'../../etc/passwd' is no time zone"),
        (
            "over-time",
            {"every": "minute", "from": "2026-01-01T00:00:00Z", "to": "2026-02-01T00:00:00Z"},
            "that is more than 1500 times every=minute; ask for less, or more apart",
        ),
        (
            "over-time",
            {"every": "day", "from": "9999-12-30T00:00:00Z", "to": "9999-12-31T23:00:00Z"},
            "that is beyond the calendar",
        ),
        ("funnel", {"step": ["a", "b"], "within": "soon"}, "'soon' is not a duration"),
    ],
)
def test_a_question_without_an_answer_is_told_why(
    shop: Dev, question: str, asked: dict[str, Any], told: str
) -> None:
    said = ask(shop, question, **asked)

    assert said.status_code == 422
    assert said.json()["detail"].startswith(told)


@pytest.mark.parametrize(
    ("question", "asked"),
    [
        ("totals", {"to": "0001-01-01T00:00:00Z"}),
        ("totals", {"from": "0001-01-01T00:00:00+14:00", "to": "0001-01-02T00:00:00Z"}),
        (  # an hour of India begins before the calendar does
            "over-time",
            {
                "zone": "Asia/Kolkata",
                "every": "hour",
                "from": "0001-01-01T00:00:10Z",
                "to": "0001-01-01T01:00:00Z",
            },
        ),
        ("totals", {"from": "9999-12-31T23:00:00Z", "to": "9999-12-31T23:59:59.999Z"}),
    ],
)
def test_nothing_happened_at_the_ends_of_the_calendar(
    shop: Dev, question: str, asked: dict[str, Any]
) -> None:
    counts = answer(shop, question, **asked)
    assert {one["events"] for one in counts.get("counts", [counts])} == {0}


@pytest.mark.parametrize(
    ("question", "asked"),
    [
        ("funnel", {"step": "one"}),
        ("funnel", {}),
        ("top", {"most": 0}),
        ("top", {"of": "people"}),
        ("over-time", {"every": "week"}),
    ],
)
def test_a_question_of_another_form_is_refused(
    shop: Dev, question: str, asked: dict[str, Any]
) -> None:
    assert ask(shop, question, **asked).status_code == 422


def test_the_figures_of_an_affiliate_that_is_not_here_are_404(shop: Dev) -> None:
    url = f"{shop.url}/api/affiliates/globex/insights/totals"
    assert httpx.get(url, **LOOPBACK).status_code == 404
