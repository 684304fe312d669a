"""
The figures of an affiliate over HTTP, for the page and for programs. `docs/insights.md` shows each
question with its answer.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, HTTPException, Query

from trackmate.dev.api import Named
from trackmate.embedded.clock import now_ms
from trackmate.insights.asking import Of, Scope
from trackmate.insights.edges import Every, edges, fitting
from trackmate_contract.quantity import epoch_ms, instant, quoted, rfc3339, seconds

router = APIRouter(prefix="/api/affiliates/{name}/insights")

_DAY_MS = 86_400_000

Text = Annotated[str | None, Query(max_length=2000)]


@contextmanager
def _said() -> Iterator[None]:
    """What cannot be answered, in words, as 422."""
    try:
        yield
    except ValueError as fault:
        raise HTTPException(422, str(fault)) from None
    except OverflowError:
        words = "that is beyond the calendar; ask for years from 2 to 9998"
        raise HTTPException(422, words) from None


@dataclass(frozen=True)
class Asked:
    """What every question has."""

    scope: Scope

    @property
    def shown(self) -> dict[str, str]:
        return {"from": _moment(self.scope.since_ms), "to": _moment(self.scope.until_ms)}


def asked(
    since: Annotated[str | None, Query(alias="from")] = None,
    until: Annotated[str | None, Query(alias="to")] = None,
    stream: Text = None,
    event: Text = None,
    page: Text = None,
) -> Asked:
    """From `from`, a day before `to` without it, up to and without `to`, now without it."""
    with _said():
        until_ms = epoch_ms(instant(until)) if until else now_ms() + 1
        since_ms = epoch_ms(instant(since)) if since else until_ms - _DAY_MS
        if since_ms >= until_ms:
            raise ValueError(f"from={since} is not before to={until or 'now'}; exchange them")
    return Asked(Scope(since_ms, until_ms, stream, event, page))


Scoped = Annotated[Asked, Depends(asked)]


@router.get("/totals")
async def totals(found: Named, scoped: Scoped) -> dict[str, Any]:
    answer = await found.insights.totals(scoped.scope)
    return scoped.shown | answer._asdict()


@router.get("/over-time")
async def over_time(
    found: Named, scoped: Scoped, every: Every | None = None, zone: str = "UTC"
) -> dict[str, Any]:
    scope = scoped.scope
    every = every or fitting(scope.since_ms, scope.until_ms)
    with _said():
        limits = edges(scope.since_ms, scope.until_ms, every, _zone(zone))
    counted = await found.insights.over_time(scope, limits)
    between = zip(limits, counted, strict=False)
    counts = [{"start": _moment(start), **one._asdict()} for start, one in between]
    return {**scoped.shown, "every": every, "zone": zone, "counts": counts}


@router.get("/top")
async def top(
    found: Named, scoped: Scoped, of: Of = Of.EVENTS, most: Annotated[int, Query(ge=1, le=100)] = 10
) -> dict[str, Any]:
    ranked = await found.insights.top(scoped.scope, of, most)
    return {**scoped.shown, "of": of, "top": [one._asdict() for one in ranked]}


@router.get("/funnel")
async def funnel(
    found: Named,
    scoped: Scoped,
    step: Annotated[list[str], Query(min_length=2, max_length=8)],
    within: str = "7d",
) -> dict[str, Any]:
    with _said():
        within_s = seconds(within)
    steps = await found.insights.funnel(scoped.scope, step, within_s * 1000)
    first = steps[0].people
    return {
        **scoped.shown,
        "within": within,
        "steps": [
            {**one._asdict(), "conversion": one.people / first if first else None} for one in steps
        ],
    }


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):  # the last where there is none of that name
        raise ValueError(
            f"{quoted(name)} is no time zone; write one as 'Europe/Berlin' or 'UTC'"
        ) from None


def _moment(epoch_ms: int) -> str:
    return rfc3339(epoch_ms, timespec="milliseconds")
