"""
What can be asked of an affiliate's events, and what is answered. The embedded store answers by
columns of its own (`trackmate.embedded.insights`), Couchbase by SQL++ on the affiliate's bucket.

An event counts once it is a document of the pipeline `store`: duplicates do not, conflicts do. Its
time is when it was received, by the platform's clock. Who did it (a *person*) is its `userId`, else
its `anonymousId`; an event with neither counts as an event of nobody.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol


@dataclass(frozen=True, slots=True)
class Scope:
    """Which events a figure is about: received from `since_ms` on and before `until_ms`."""

    since_ms: int
    until_ms: int
    stream: str | None = None
    event: str | None = None
    """What the event calls itself, as `facts.Fact.name` has it."""
    page: str | None = None


class Of(StrEnum):
    """What can be ranked."""

    EVENTS = "events"
    PAGES = "pages"


class Totals(NamedTuple):
    events: int
    people: int
    views: int
    """Events of the type `page`."""


class Counted(NamedTuple):
    """What happened between two moments."""

    events: int
    people: int


class Ranked(NamedTuple):
    """An event's name, or a page, and how often it came."""

    name: str
    events: int
    people: int


class Step(NamedTuple):
    """One step of a funnel: how many people came so far, and how long it took them."""

    event: str
    people: int
    median_s: float | None
    """From the last time they did the step before until they first came to this one; None for the
    first step, and where nobody came."""
    p90_s: float | None


class Insights(Protocol):
    """The figures of one affiliate. Every answer counts all documents that are in the store."""

    async def totals(self, scope: Scope) -> Totals:
        """How many events and people in all."""

    async def over_time(self, scope: Scope, edges: Sequence[int]) -> Sequence[Counted]:
        """What happened between each two `edges`, which are ms since 1970, rising."""

    async def top(self, scope: Scope, of: Of, most: int) -> Sequence[Ranked]:
        """
        Those that came most, at most so many, and equals by name. Which of those that came as
        often as the last are left out is not said: to tell would be to read every name.
        """

    async def funnel(self, scope: Scope, steps: Sequence[str], within_ms: int) -> Sequence[Step]:
        """
        How many people did the steps in this order, in the scope and, from their first step of a
        try to their last, within so long. What lies between the steps does not matter; a person
        counts once, at the best of their tries.
        """
