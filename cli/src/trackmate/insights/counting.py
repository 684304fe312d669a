"""
How figures come from columns. Pure; a million events in a fraction of a second.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from trackmate.insights.asking import Counted, Of, Scope, Step, Totals
from trackmate.insights.columns import Column, Columns, hashed

_FILTERS = {"stream": "stream", "event": "name", "page": "page"}
"""By the field of a Scope, the column."""


def needed(scope: Scope) -> set[str]:
    """The columns that deciding who is in the scope reads."""
    return {"at"} | {column for field, column in _FILTERS.items() if getattr(scope, field)}


def inside(columns: Columns, scope: Scope) -> Columns:
    """The rows of the scope."""
    at = columns["at"]
    kept = (at >= scope.since_ms) & (at < scope.until_ms)
    for field, column in _FILTERS.items():
        if text := getattr(scope, field):
            kept &= columns[column] == hashed(text)
    return columns if kept.all() else {name: values[kept] for name, values in columns.items()}


def people(person: Column) -> int:
    """How many there are; nobody is none."""
    ordered = np.sort(person)  # np.unique takes twice as long
    return _firsts(ordered).size - (0 in ordered)


def totals(columns: Columns) -> Totals:
    """Of `at`, `person` and `view`."""
    views = int(np.count_nonzero(columns["view"]))
    return Totals(columns["at"].size, people(columns["person"]), views)


def over_time(columns: Columns, edges: Sequence[int]) -> list[Counted]:
    """Of `at` and `person`; what is before the first edge or behind the last is left out."""
    between = np.searchsorted(np.array(edges, dtype=np.int64), columns["at"], side="right")
    order = np.argsort(between.astype(np.uint16), kind="stable")
    starts = np.searchsorted(between[order], np.arange(1, len(edges) + 1))
    person = columns["person"][order]
    return [Counted(int(end - start), people(person[start:end])) for start, end in pairwise(starts)]


def top(columns: Columns, of: Of, most: int) -> list[tuple[int, int, int]]:
    """
    The labels that came most, with their events and people. Of `name` and `person`; of pages,
    `page` and `view` too: a page counts where it was viewed.
    """
    person = columns["person"]
    if of is Of.PAGES:
        viewed = columns["view"] != 0
        label, person = columns["page"][viewed], person[viewed]
    else:
        label = columns["name"]
    labels, events = np.unique(label, return_counts=True)
    labels, events = labels[labels != 0], events[labels != 0]
    first = np.argsort(-events, kind="stable")[:most]
    return [(int(labels[n]), int(events[n]), people(person[label == labels[n]])) for n in first]


def funnel(columns: Columns, steps: Sequence[str], within_ms: int) -> list[Step]:
    """
    Of `at`, `name` and `person`. For each event of a step, the latest first step from which it can
    be reached is that of the event of the step before which came last: so one look at the event
    before is enough, and a try that took too long hides no later one.
    """
    at, name, person = _by_person(columns, steps)
    positions = np.arange(at.size)
    reached = name == hashed(steps[0])
    began = at
    found = [Step(steps[0], _firsts(person[reached]).size, None, None)]
    for step in steps[1:]:
        before = _last_before(np.where(reached, positions, -1))
        reached = (name == hashed(step)) & (before >= 0) & (person[before] == person)
        began = began[before]
        reached &= at - began <= within_ms
        waited = (at - at[before])[reached] / 1000
        found.append(_step(step, person[reached], waited))
    return found


def _by_person(columns: Columns, steps: Sequence[str]) -> tuple[Column, Column, Column]:
    """The events of people that are steps, by person and then by time."""
    wanted = np.array(sorted({hashed(step) for step in steps}), dtype=np.int64)
    kept = np.isin(columns["name"], wanted) & (columns["person"] != 0)
    at, name, person = (columns[column][kept] for column in ("at", "name", "person"))
    order = np.lexsort((at, person))
    return at[order], name[order], person[order]


def _last_before(positions: Column) -> Column:
    """For each row, the greatest of the rows before it; -1 where there is none."""
    last = np.maximum.accumulate(positions)
    return np.concatenate(([-1], last[:-1])) if last.size else last


def _firsts(ordered: Column) -> Column:
    """The first row of each run of equals."""
    changes = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
    return np.concatenate(([0], changes)) if ordered.size else changes


def _step(event: str, person: Column, waited: Column) -> Step:
    first = _firsts(person)
    if not first.size:
        return Step(event, 0, None, None)
    median, p90 = np.percentile(waited[first], [50, 90])
    return Step(event, first.size, float(median), float(p90))
