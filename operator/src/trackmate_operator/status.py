"""
What the status of an Affiliate or a Pipeline says. Pure: from what a reconcile found, and from the
status of before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trackmate_operator.tenant import Document

READY = "Ready"


@dataclass(frozen=True)
class Condition:
    """One thing that holds, or does not."""

    type: str
    holds: bool | None
    """None is unknown: nobody could be asked."""
    reason: str
    """In one word, for programs."""
    message: str
    """In a sentence, with what is in the way and the next step."""


def good(about: str, message: str) -> Condition:
    """It holds."""
    return Condition(about, True, about, message)  # noqa: FBT003 - as in the resource


def bad(about: str, reason: str, message: str) -> Condition:
    """It does not hold."""
    return Condition(about, False, reason, message)  # noqa: FBT003 - as in the resource


def unknown(about: str, reason: str, message: str) -> Condition:
    """Nobody can tell."""
    return Condition(about, None, reason, message)


_STATUS = {True: "True", False: "False", None: "Unknown"}


def ready(conditions: Sequence[Condition], said: str) -> Condition:
    """
    Sums the others up: the first that does not hold says why.

    >>> ready([bad("TopicsReady", "Down", "Kafka is away.")], "All is there.").message
    'Kafka is away.'
    """
    for wanted in (False, None):
        for one in conditions:
            if one.holds is wanted:
                return Condition(READY, wanted, one.reason, one.message)
    return good(READY, said)


def status(
    before: Mapping[str, Any],
    conditions: Sequence[Condition],
    *,
    generation: int,
    now: str,
    **fields: object,
) -> Document:
    """
    The whole status. A condition keeps the time of its last change; `now` is RFC 3339.
    """
    known = {one["type"]: one for one in before.get("conditions", [])}
    return {
        **fields,
        "observedGeneration": generation,
        "conditions": [_written(one, known.get(one.type), generation, now) for one in conditions],
    }


def _written(
    one: Condition, before: Mapping[str, Any] | None, generation: int, now: str
) -> Document:
    says = _STATUS[one.holds]
    same = before is not None and before["status"] == says
    return {
        "type": one.type,
        "status": says,
        "reason": one.reason,
        "message": one.message,
        "observedGeneration": generation,
        "lastTransitionTime": before["lastTransitionTime"] if before and same else now,
    }
