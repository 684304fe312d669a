"""
Letting an affiliate or a pipeline rest: an annotation, which the operator heeds.
"""

from typing import Any

from trackmate.cluster import finding, shown
from trackmate.cluster.waiting import taken_up
from trackmate.errors import Declined, Unconfirmed
from trackmate_operator.cluster import Cluster, Stale
from trackmate_operator.declared import PAUSED, annotation
from trackmate_operator.kinds import AFFILIATE, ref
from trackmate_operator.report import PAUSED as PAUSED_CONDITION
from trackmate_operator.tenant import Document

_TRIES = 10


async def pause(cluster: Cluster, name: str, reason: str) -> dict[str, Any]:
    """As it is then. Raises Declined and Unconfirmed."""
    return await _annotated(cluster, name, reason)


async def resume(cluster: Cluster, name: str) -> dict[str, Any]:
    """As it is then. Raises Declined and Unconfirmed."""
    return await _annotated(cluster, name, None)


async def _annotated(cluster: Cluster, name: str, reason: str | None) -> dict[str, Any]:
    found = await _written(cluster, name, reason)

    async def look() -> bool:
        nonlocal found
        found = await finding.named(cluster, name)
        said = shown.condition(found, PAUSED_CONDITION)
        return said is not None and (said["status"] == "True") == (reason is not None)

    if not await taken_up(look):
        done = "paused" if reason is not None else "resumed"
        raise Unconfirmed(
            f"{name} is marked as {done}, but no operator has taken it up. See what is wrong: "
            "trackmate doctor, and whether the affiliate itself is paused: trackmate status "
            f"{name.partition('/')[0]}"
        )
    if ref(found).kind == AFFILIATE:
        return shown.affiliate(found, await finding.pipelines(cluster, found))
    return shown.pipeline(found)


async def _written(cluster: Cluster, name: str, reason: str | None) -> Document:
    for _ in range(_TRIES):
        found = await finding.named(cluster, name)
        if annotation(found, PAUSED) == reason:
            return found
        try:
            await cluster.patch(ref(found), _operations(found, reason))
        except Stale:
            continue
        return found
    raise Declined(f"{name} is changed by others all the time; try again later.")


def _operations(found: Document, reason: str | None) -> list[Document]:
    metadata = found["metadata"]
    unchanged = {
        "op": "test",
        "path": "/metadata/resourceVersion",
        "value": metadata["resourceVersion"],
    }
    path = f"/metadata/annotations/{PAUSED.replace('/', '~1')}"
    if reason is None:
        return [unchanged, {"op": "remove", "path": path}]
    if not metadata.get("annotations"):
        whole = {"op": "add", "path": "/metadata/annotations", "value": {PAUSED: reason}}
        return [unchanged, whole]
    return [unchanged, {"op": "add", "path": path, "value": reason}]
