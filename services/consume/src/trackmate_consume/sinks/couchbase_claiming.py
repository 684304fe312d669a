"""
How an event gets its key: by inserting, so that whoever is first has it, whatever else writes.
Where a key is taken, what is there decides: the same record again, a duplicate, or another event;
then the one that comes gets a key of its own beside it.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import NamedTuple, TypeVar

from trackmate_consume.ledger import Outcome
from trackmate_consume.sink import Down, Refused
from trackmate_consume.sinks.couchbase_cluster import Missing, Taken
from trackmate_consume.sinks.couchbase_marks import Mark, Verdict, compare

_TRIES = 3  # at a key whose document is there and is not
_AT_ONCE = 32  # of one write

Item = TypeVar("Item")

Insert = Callable[[str], Awaitable[object]]
"""Raises Taken."""
Look = Callable[[str], Awaitable[Mark | None]]
"""The mark of what is under a key; None where it is none of ours. Raises Missing."""


class Keys(NamedTuple):
    """Where an event's document goes, and where when another event has that."""

    own: str
    conflict: str


class Claim(NamedTuple):
    """What became of an event, and where it is."""

    outcome: Outcome
    key: str
    there: Mark | None = None
    """Of the same record, which was there before."""


async def claim(mine: Mark, keys: Keys, insert: Insert, look: Look) -> Claim:
    """Raises Refused where somebody else's document is in the way, and Down."""
    for key, outcome in ((keys.own, Outcome.DELIVERED), (keys.conflict, Outcome.CONFLICT)):
        verdict, there = await _try(mine, key, insert, look)
        if verdict is Verdict.DUPLICATE:
            return Claim(Outcome.DUPLICATE, key)
        if verdict is not Verdict.OTHER:
            return Claim(outcome, key, there)
    raise Refused(
        f"the key {keys.conflict!r} is taken by a document that is none of Trackmate's; move it"
    )


async def _try(
    mine: Mark, key: str, insert: Insert, look: Look
) -> tuple[Verdict | None, Mark | None]:
    """None where the key was free and is ours now; else what its holder is."""
    for _ in range(_TRIES):
        try:
            await insert(key)
        except Taken:
            pass
        else:
            return None, None
        try:
            there = await look(key)
        except Missing:  # it expired, or a write that was under way did not come about
            continue
        return compare(mine, there), there
    raise Down(f"the document under {key!r} comes and goes")


async def in_order(
    items: Sequence[Item], key: Callable[[Item], str], work: Callable[[Item], Awaitable[Outcome]]
) -> list[Outcome]:
    """
    Do the work for all, those of one key one after the other, and return what became of each.

    After a fault nothing more is begun: all of them come again. What was begun ends, and then a
    Down goes before a Refused.
    """
    by_key = defaultdict(list)
    for index, item in enumerate(items):
        by_key[key(item)].append((index, item))
    outcomes: dict[int, Outcome] = {}
    faults: list[Exception] = []

    async def take(groups: Iterable[list[tuple[int, Item]]]) -> None:
        for group in groups:
            for index, item in group:
                if faults:
                    return
                try:
                    outcomes[index] = await work(item)
                except Exception as fault:  # noqa: BLE001 - raised below
                    faults.append(fault)

    groups = iter(by_key.values())  # one iterator, which all of them take from
    await asyncio.gather(*[take(groups) for _ in range(min(_AT_ONCE, len(by_key)))])
    if faults:
        raise next((fault for fault in faults if not isinstance(fault, Refused)), faults[0])
    return [outcomes[index] for index in range(len(items))]
