"""
Figures equal a brute-force count over the raw events, whatever the events are, however they were
stored, and wherever a block of facts begins.
"""

import asyncio
import json
import sqlite3
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trackmate.embedded import insights, store
from trackmate.embedded.database import Database
from trackmate.embedded.insights import EmbeddedInsights
from trackmate.embedded.store import EmbeddedStore
from trackmate.insights.asking import Counted, Of, Scope, Step, Totals
from trackmate.insights.edges import Every, TooMany, edges
from trackmate_consume.sink import Translated
from trackmate_consume.translate import to_document
from trackmate_contract.quantity import epoch_ms, instant
from trackmate_contract.record import Record, Stamp
from waiting_for import wait_until

SCHEMA = store.SCHEMA + insights.SCHEMA
ROWS = 5  # of a block, so that there are many
NAMES = ["View", "Cart", "Pay", "\x00", "é\U0001f600"]
MOST = 1000


class Raw(NamedTuple):
    """An event as it was sent."""

    at_ms: int
    value: bytes
    type: str | None = None
    stream: str = "events"
    content_type: str | None = None


def members() -> st.SearchStrategy[dict[str, Any]]:
    """Objects as clients write them, and as nobody should."""
    odd: st.SearchStrategy[Any] = st.sampled_from([None, 7, True, [], {}, "", 1.5, {"page": 1}])
    page = st.fixed_dictionaries(
        {},
        optional={
            "path": st.sampled_from(["/a", "/b?x=1", "about"]) | odd,
            "url": st.sampled_from(["https://x.example/a#f", "https://x.example", "/c"]) | odd,
        },
    )
    people = st.sampled_from(["u1", "u2", "u3", 7, "7", "\ud800"]) | odd
    return st.fixed_dictionaries(
        {},
        optional={
            "event": st.sampled_from(NAMES) | odd,
            "name": st.sampled_from(["Home", "\ud83d"]) | odd,
            "type": st.sampled_from(["page", "track"]) | odd,
            "userId": people,
            "anonymousId": people,
            "context": st.fixed_dictionaries({}, optional={"page": page | odd}) | odd,
            "properties": page | odd,
        },
    )


def texts() -> st.SearchStrategy[bytes]:
    odd = st.sampled_from([b"17", b"null", b'"View"', b"[]", b'{"event":"View","event":"Pay"}'])
    return members().map(lambda event: json.dumps(event).encode()) | odd


def simple(step: st.SearchStrategy[str]) -> st.SearchStrategy[bytes]:
    """What funnels are about: few people, few steps."""
    people = st.sampled_from(["u1", "u2"])
    return st.builds(lambda n, p: json.dumps({"event": n, "userId": p}).encode(), step, people)


raws = st.builds(
    Raw,
    st.integers(0, 50),
    texts(),
    st.sampled_from([None, "page", "track"]),
    st.sampled_from(["events", "images"]),
    st.sampled_from([None, None, None, "image/png"]),
)
moments = st.tuples(st.integers(0, 30), simple(st.sampled_from(NAMES[:3])))
steps = moments.map(lambda moment: Raw(*moment))
scopes = st.builds(
    Scope,
    st.integers(0, 20),
    st.integers(21, 60),
    st.sampled_from([None, "events", "images"]),
    st.sampled_from([None, *NAMES, "(raw)", "(unnamed)", "page"]),
    st.sampled_from([None, "/a", "/b", "/"]),
)


async def stored(database: Database, events: Sequence[Raw], figures: EmbeddedInsights) -> None:
    """In batches of seven, of which some are kept as blocks before the next come."""
    sink = EmbeddedStore(database)
    for first in range(0, len(events), 7):
        batch = []
        for offset, raw in enumerate(events[first : first + 7], first):
            stamp = Stamp(raw.at_ms, "web", raw.type, raw.content_type)
            record = Record(raw.stream, 0, offset, f"id-{offset}", None, raw.value, stamp)
            batch.append(Translated(record, (to_document(record),)))
        await sink.write(batch)
        if first % 2:
            await figures.keep_all()
        if first % 3 == 0:
            await figures.totals(Scope(0, 1))


def answered(events: Sequence[Raw], ask: Any) -> Any:
    """What an affiliate with these events answers, asked now and after a restart."""

    async def scenario(folder: Path) -> Any:
        database = Database(folder / "acme.db", SCHEMA)
        try:
            figures = EmbeddedInsights(database, rows=ROWS)
            await stored(database, events, figures)
            answer = await ask(figures)
            assert await ask(EmbeddedInsights(database, rows=ROWS)) == answer
        finally:
            await database.close()
        return answer

    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(scenario(Path(folder)))


# the brute force: raw events, plain loops


class Plain(NamedTuple):
    at_ms: int
    stream: str
    name: str
    page: str
    person: str
    view: bool


def whole(text: Any) -> Any:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def plain(raw: Raw) -> Plain:
    if raw.content_type is not None:
        return Plain(raw.at_ms, raw.stream, "(raw)", "", "", view=False)
    event = json.loads(raw.value)
    event = event if isinstance(event, dict) else {}
    named = [event.get("event"), event.get("type"), event.get("name"), raw.type]
    name = next((whole(n) for n in named if isinstance(n, str) and n), "(unnamed)")
    ids = [event.get("userId"), event.get("anonymousId")]
    person = next((p for p in map(person_of, ids) if p), "")
    view = "page" in (raw.type, event.get("type"))
    return Plain(raw.at_ms, raw.stream, name, page_of(event), person, view=view)


def person_of(value: Any) -> str:
    if isinstance(value, str):
        return str(whole(value))
    return str(value) if type(value) is int else ""


def page_of(event: dict[str, Any]) -> str:
    context = event.get("context")
    inner = context.get("page") if isinstance(context, dict) else None
    for place in (inner, event.get("properties")):
        for member in ("path", "url"):
            value = place.get(member) if isinstance(place, dict) else None
            if not isinstance(value, str):
                continue
            path = value.split("#")[0].split("?")[0]
            if "://" in path:
                path = "/" + "/".join(path.split("://", 1)[1].split("/")[1:])
            if path.startswith("/"):
                return path
    return ""


def inside(events: Sequence[Raw], scope: Scope) -> list[Plain]:
    return [
        one
        for one in map(plain, events)
        if scope.since_ms <= one.at_ms < scope.until_ms
        and scope.stream in {None, one.stream}
        and scope.event in {None, one.name}
        and scope.page in {None, one.page}
    ]


def people(events: Sequence[Plain]) -> int:
    return len({event.person for event in events if event.person})


def tries(times: Sequence[tuple[int, str]], names: Sequence[str], within_ms: int) -> Iterator[Any]:
    """Every chain of events that does the first steps in order, as the places of its events."""

    def longer(chain: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        yield chain
        if len(chain) == len(names):
            return
        for place in range(chain[-1] + 1, len(times)):
            in_time = times[place][0] - times[chain[0]][0] <= within_ms
            if times[place][1] == names[len(chain)] and in_time:
                yield from longer((*chain, place))

    for place, (_, name) in enumerate(times):
        if name == names[0]:
            yield from longer((place,))


def funnel(events: Sequence[Plain], names: Sequence[str], within_ms: int) -> list[Step]:
    by_person: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for event in sorted(events, key=lambda one: one.at_ms):
        if event.person:
            by_person[event.person].append((event.at_ms, event.name))
    waits: list[list[float]] = [[] for _ in names]
    for times in by_person.values():
        chains = list(tries(times, names, within_ms))
        for number in range(len(names)):
            reaching = [chain for chain in chains if len(chain) == number + 1]
            if not reaching:
                break
            first = min(chain[-1] for chain in reaching)
            before = max((c[-2] for c in reaching if c[-1] == first and number), default=first)
            waits[number].append((times[first][0] - times[before][0]) / 1000)
    found = []
    for number, (name, waited) in enumerate(zip(names, waits, strict=True)):
        told = bool(number and waited)
        p90 = quantile(waited, 0.9) if told else None
        found.append(Step(name, len(waited), median(waited) if told else None, p90))
    return found


def quantile(values: Sequence[float], share: float) -> float:
    """Between the two nearest, as NumPy's default has it."""
    ordered = sorted(values)
    at = share * (len(ordered) - 1)
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


# the claims


@settings(max_examples=60, deadline=None)
@given(st.lists(raws, max_size=40), scopes)
def test_totals_and_time_are_a_count_of_the_raw_events(events: list[Raw], scope: Scope) -> None:
    limits = [0, 10, 25, 40, 60]

    async def ask(figures: EmbeddedInsights) -> Any:
        return await figures.totals(scope), await figures.over_time(scope, limits)

    totals, over_time = answered(events, ask)

    found = inside(events, scope)
    assert totals == Totals(len(found), people(found), sum(one.view for one in found))
    between = [[one for one in found if a <= one.at_ms < b] for a, b in pairwise(limits)]
    assert over_time == [Counted(len(part), people(part)) for part in between]


@settings(max_examples=60, deadline=None)
@given(st.lists(raws, max_size=40), scopes, st.sampled_from(Of), st.sampled_from([1, 2, MOST]))
def test_the_ranking_is_a_count_of_the_raw_events(
    events: list[Raw], scope: Scope, of: Of, most: int
) -> None:
    ranked = answered(events, lambda figures: figures.top(scope, of, most))

    by_label: dict[str, list[Plain]] = defaultdict(list)
    for one in inside(events, scope):
        if of is Of.EVENTS or (one.view and one.page):
            by_label[one.name if of is Of.EVENTS else one.page].append(one)
    expected = [(name, len(those), people(those)) for name, those in by_label.items()]
    assert ranked == sorted(set(ranked), key=lambda one: (-one[1], one[0]))
    assert set(ranked) <= set(expected)
    counts = sorted((one[1] for one in expected), reverse=True)
    assert [one.events for one in ranked] == counts[:most]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(steps, max_size=14),
    st.lists(st.sampled_from(NAMES[:3]), min_size=2, max_size=4),
    st.integers(0, 30),
    scopes,
)
def test_a_funnel_is_the_best_try_of_each_person(
    events: list[Raw], names: list[str], within_ms: int, scope: Scope
) -> None:
    scope = replace(scope, event=None, page=None)

    found = answered(events, lambda figures: figures.funnel(scope, names, within_ms))

    expected = funnel(inside(events, scope), names, within_ms)
    assert [one[:2] for one in found] == [one[:2] for one in expected]
    for one, other in zip(found, expected, strict=True):
        assert one.median_s == pytest.approx(other.median_s)
        assert one.p90_s == pytest.approx(other.p90_s)


def test_a_try_that_took_too_long_hides_no_later_one() -> None:
    times = [(0, "View"), (100, "Cart"), (110, "View"), (115, "Cart")]
    events = [Raw(at, json.dumps({"event": n, "userId": "u"}).encode()) for at, n in times]

    found = answered(events, lambda it: it.funnel(Scope(0, 1000), ["View", "Cart"], 50))

    assert found[1] == Step("Cart", 1, 0.005, 0.005)


def test_a_repeat_is_counted_once_and_a_conflict_by_itself() -> None:
    async def scenario(folder: Path) -> int:
        database = Database(folder / "acme.db", SCHEMA)
        values = [b'{"event":"A"}', b'{"event":"A"}', b'{"event":"B"}']
        records = [
            Record("events", 0, offset, "one", None, value, Stamp(5, "web"))
            for offset, value in enumerate(values)
        ]
        batch = [Translated(record, (to_document(record),)) for record in records]
        for _ in range(2):
            await EmbeddedStore(database).write(batch)
        totals = await EmbeddedInsights(database).totals(Scope(0, 10))
        await database.close()
        return totals.events

    with tempfile.TemporaryDirectory() as folder:
        assert asyncio.run(scenario(Path(folder))) == 2


def test_facts_are_kept_again_after_a_time_in_which_documents_could_not_be_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        database = Database(tmp_path / "acme.db", SCHEMA)
        figures = EmbeddedInsights(database, rows=ROWS)
        await stored(database, [Raw(5, b"{}")] * 7, figures)
        await changed(database, "ALTER TABLE documents RENAME TO unreadable")
        keeping = asyncio.create_task(figures.keep_on())
        await until(lambda: "cannot be kept" in caplog.text)
        await changed(database, "ALTER TABLE unreadable RENAME TO documents")
        await until(lambda: blocks(database) > 0)
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        await database.close()

    asyncio.run(scenario())


async def changed(database: Database, statement: str) -> None:
    def work(connection: sqlite3.Connection, statements: Sequence[str]) -> list[None]:
        connection.execute(*statements)
        return [None]

    await database.submit(work, statement)


async def until(condition: Callable[[], object]) -> None:
    await asyncio.to_thread(wait_until, condition, "facts are kept")


def blocks(database: Database) -> int:
    with closing(database.reader()) as reader:
        return int(reader.execute("SELECT count(*) FROM fact_blocks").fetchone()[0])


BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str) -> int:
    return epoch_ms(instant(text))


def test_a_day_is_one_of_the_zone_also_when_its_clocks_change() -> None:
    found = edges(at("2026-10-24T12:00:00Z"), at("2026-10-26T01:00:00Z"), Every.DAY, BERLIN)

    days = ["2026-10-23T22:00:00Z", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"]
    assert found == [*map(at, days), at("2026-10-26T23:00:00Z")]


def test_a_month_is_one_of_the_zone() -> None:
    found = edges(at("2026-02-10T12:00:00Z"), at("2026-04-01T00:00:00Z"), Every.MONTH, BERLIN)

    months = ["2026-01-31T23:00:00Z", "2026-02-28T23:00:00Z", "2026-03-31T22:00:00Z"]
    assert found == [*map(at, months), at("2026-04-30T22:00:00Z")]


def test_an_hour_begins_where_the_zones_hours_do() -> None:
    since, until = at("2026-11-01T10:10:00Z"), at("2026-11-01T11:00:00Z")

    found = edges(since, until, Every.HOUR, ZoneInfo("Asia/Kolkata"))

    assert found == [at("2026-11-01T09:30:00Z"), at("2026-11-01T10:30:00Z"), until + 1_800_000]


@given(
    st.integers(0, 10**12),
    st.integers(1, 10**9),
    st.sampled_from(Every),
    st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/St_Johns"]),
)
def test_edges_hold_the_whole_time(since: int, length: int, every: Every, zone: str) -> None:
    try:
        found = edges(since, since + length, every, ZoneInfo(zone))
    except TooMany:
        assert every is Every.MINUTE
        return
    assert found == sorted(set(found))
    assert found[0] <= since < found[1]
    assert found[-2] < since + length <= found[-1]
