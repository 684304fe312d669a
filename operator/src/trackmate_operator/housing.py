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
    return marked(_planned(name, affiliate, made_here=found is None or was_made(found)))


def is_home(found: Document | None, affiliate: str) -> bool:
    """Whether the namespace is there and handed over to the affiliate."""
    labels = (found["metadata"].get("labels") or {}) if found is not None else {}
    return labels.get(AFFILIATE) == affiliate


def was_made(found: Document) -> bool:
    """Whether the namespace was made by the operator, so that it may remove it."""
    return MADE_FOR in (found["metadata"].get("annotations") or {})


def _planned(name: str, affiliate: str, *, made_here: bool) -> Document:
    document = namespace(name, affiliate)
    if not made_here:
        return document
    return {
        **document,
        "metadata": {**document["metadata"], "annotations": {MADE_FOR: affiliate}},
    }


def _check(found: Document, name: str, affiliate: str) -> None:
    metadata = found["metadata"]
    whose = (metadata.get("labels") or {}).get(AFFILIATE)
    made_for = (metadata.get("annotations") or {}).get(MADE_FOR)
    if affiliate not in {whose, made_for if whose is None else None}:
        owner = f"belongs to affiliate {whose!r}" if whose else "is not Trackmate's"
        raise Blocked(
            bad(
                CONDITION,
                "NamespaceConflict",
                f"Namespace {name!r} is there and {owner}; label it {AFFILIATE}={affiliate} to "
                "hand it over, or make the Affiliate anew with another spec.namespace.",
            )
        )
    if "deletionTimestamp" in metadata:
        raise Blocked(
            bad(
                CONDITION,
                "Terminating",
                f"Namespace {name!r} is being deleted; it is made anew once it is gone.",
            )
        )
