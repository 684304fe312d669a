"""
What others changed of what is ours. It is mended at once, and then again after a minute at the
soonest: whoever changes it all the time is named, not fought.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from trackmate_operator.kinds import Ref
from trackmate_operator.plan.objects import MANAGER
from trackmate_operator.status import Condition, bad
from trackmate_operator.tenant import Document

CONDITION = "Drifted"
PATIENCE_S = 60.0
_TOLD_S = 600.0  # how long the condition tells of it


@dataclass(frozen=True)
class _Mended:
    at: float
    who: str


class Drift:
    """By affiliate. Forgotten when the operator ends."""

    def __init__(self, elapsed_s: Callable[[], float]) -> None:
        self._elapsed_s = elapsed_s
        self._mended: dict[str, dict[Ref, _Mended]] = {}

    def resting(self, affiliate: str) -> Collection[Ref]:
        """What was mended a moment ago, and is left as it is for now."""
        since = self._elapsed_s() - PATIENCE_S
        return {one for one, mended in self._of(affiliate).items() if mended.at > since}

    def mended(self, affiliate: str, one: Ref, who: str) -> None:
        self._of(affiliate)[one] = _Mended(self._elapsed_s(), who)

    def forget(self, affiliate: str) -> None:
        self._mended.pop(affiliate, None)

    def condition(self, affiliate: str, left: Iterable[Ref]) -> Condition:
        """Whether somebody changes what is ours."""
        told = self._of(affiliate)
        for one in left:
            who = told[one].who if one in told else "somebody"
            return Condition(
                CONDITION,
                True,  # noqa: FBT003 - as in the resource
                "ChangedAgain",
                f"{one} was changed again by {who}; it is mended once a minute. Stop whoever "
                "applies it, or change the Affiliate instead.",
            )
        since = self._elapsed_s() - _TOLD_S
        recent = [(mended.at, one) for one, mended in told.items() if mended.at > since]
        if not recent:
            return bad(CONDITION, "AsPlanned", "Everything is as planned.")
        _, last = max(recent)
        return Condition(
            CONDITION,
            True,  # noqa: FBT003 - as in the resource
            "Mended",
            f"{last} was changed by {told[last].who} and is mended.",
        )

    def _of(self, affiliate: str) -> dict[Ref, _Mended]:
        return self._mended.setdefault(affiliate, {})


def who_changed(found: Document) -> str:
    """
    The field manager that wrote last, beside us.

    >>> fields = [{"manager": "kubectl-edit", "time": "2026-11-28T00:00:00Z"}, {"manager": MANAGER}]
    >>> who_changed({"metadata": {"managedFields": fields}})
    "'kubectl-edit'"
    """
    others = [
        (one.get("time", ""), one["manager"])
        for one in found["metadata"].get("managedFields", [])
        if one["manager"] != MANAGER and not _is_controller(one)
    ]
    return repr(max(others)[1]) if others else "somebody"


def _is_controller(entry: Document) -> bool:
    """
    Whether it wrote what controllers write: the status, or its finalizer.

    >>> _is_controller({"manager": "quota", "subresource": "status"})
    True
    >>> _is_controller({"manager": "strimzi", "fieldsV1": {"f:metadata": {"f:finalizers": {}}}})
    True
    >>> _is_controller({"manager": "kubectl", "fieldsV1": {"f:metadata": {"f:labels": {}}}})
    False
    """
    fields = entry.get("fieldsV1") or {}
    finalizers = {"f:metadata"} == {*fields} and {*fields["f:metadata"]} <= {".", "f:finalizers"}
    return entry.get("subresource") == "status" or finalizers
