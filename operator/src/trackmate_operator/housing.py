"""
An affiliate's namespace: made where it is missing, taken where it is handed over, and otherwise
left alone.
"""

from trackmate_operator.apply import holds, marked
from trackmate_operator.blocked import Blocked
from trackmate_operator.cluster import Cluster, Denied
from trackmate_operator.kinds import NAMESPACE, Ref
from trackmate_operator.plan.namespace import namespace
from trackmate_operator.plan.objects import AFFILIATE
from trackmate_operator.status import bad
from trackmate_operator.tenant import Document

CONDITION = "NamespaceReady"
MADE_FOR = "trackmate.io/made-for"
"""The annotation of a namespace that was made here: the affiliate that it was made for."""


async def house(cluster: Cluster, name: str, affiliate: str) -> None:
    """See that the namespace is there and the affiliate's. Raises Blocked and Unanswered."""
    found = await cluster.get(Ref(NAMESPACE, name))
    document = housed(found, name, affiliate)
    if found is not None and holds(found, document):
        return
    try:
        await cluster.apply(document)
    except Denied as why:
        raise Blocked(
            bad(CONDITION, "Denied", f"Namespace {name!r} cannot be made: {why}")
        ) from None


def housed(found: Document | None, name: str, affiliate: str) -> Document:
    """The namespace as it is to be. Raises Blocked where the one that is there is another's."""
    if found is not None:
        _check(found, name, affiliate)
    return marked(_planned(name, affiliate, made_here=found is None or bool(made_for(found))))


def is_home(found: Document | None, affiliate: str) -> bool:
    """Whether the namespace is there and the affiliate's."""
    return found is not None and owner_of(found) == affiliate


def owner_of(found: Document) -> str | None:
    """By its label; by whom it was made for where somebody took that off."""
    whose: str | None = (found["metadata"].get("labels") or {}).get(AFFILIATE)
    return made_for(found) if whose is None else whose


def made_for(found: Document) -> str | None:
    """For which affiliate the operator made the namespace; None where others did."""
    affiliate: str | None = (found["metadata"].get("annotations") or {}).get(MADE_FOR)
    return affiliate


def _planned(name: str, affiliate: str, *, made_here: bool) -> Document:
    document = namespace(name, affiliate)
    if not made_here:
        return document
    return {
        **document,
        "metadata": {**document["metadata"], "annotations": {MADE_FOR: affiliate}},
    }


def _check(found: Document, name: str, affiliate: str) -> None:
    whose = owner_of(found)
    if whose != affiliate:
        owner = f"belongs to affiliate {whose!r}" if whose else "is not Trackmate's"
        raise Blocked(
            bad(
                CONDITION,
                "NamespaceConflict",
                f"Namespace {name!r} is there and {owner}; label it {AFFILIATE}={affiliate} to "
                "hand it over, or make the Affiliate anew with another spec.namespace.",
            )
        )
    if "deletionTimestamp" in found["metadata"]:
        raise Blocked(
            bad(
                CONDITION,
                "Terminating",
                f"Namespace {name!r} is being deleted; it is made anew once it is gone.",
            )
        )
