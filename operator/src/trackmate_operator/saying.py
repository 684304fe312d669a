"""
What the operator says of an object: its status, written where it differs, and Events, once a
change.
"""

from hashlib import sha256

from trackmate_operator.apply import holds
from trackmate_operator.cluster import Cluster
from trackmate_operator.plan.objects import MANAGER
from trackmate_operator.status import Condition
from trackmate_operator.tenant import Document

_LONGEST = 1024  # of an Event's message (Kubernetes)
_OF_THE_CLUSTER = "default"  # where Events of objects without a namespace are


async def say(cluster: Cluster, about: Document, status: Document) -> None:
    """Write the status, unless it says so."""
    before = about.get("status") or {}
    if holds(before, status) and holds(status, before):
        return
    await cluster.apply_status(_bare(about, status=status))


async def note(
    cluster: Cluster, about: Document, reason: str, message: str, *, now: str, warning: bool = False
) -> None:
    """An Event, of which there is one for each sentence."""
    metadata = about["metadata"]
    namespace = metadata.get("namespace", _OF_THE_CLUSTER)
    digest = sha256(f"{metadata['uid']}\0{reason}\0{message}".encode()).hexdigest()[:16]
    await cluster.create(
        {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{metadata['name']}.{digest}", "namespace": namespace},
            "involvedObject": {
                "apiVersion": about["apiVersion"],
                "kind": about["kind"],
                "name": metadata["name"],
                "namespace": metadata.get("namespace", ""),
                "uid": metadata["uid"],
                "resourceVersion": metadata["resourceVersion"],
            },
            "type": "Warning" if warning else "Normal",
            "reason": reason,
            "message": message[:_LONGEST],
            "source": {"component": MANAGER},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
    )


def turned(before: Document, condition: Condition) -> bool:
    """Whether the condition says something else than it did."""
    for one in (before.get("status") or {}).get("conditions", []):
        if one["type"] == condition.type:
            return (one["reason"], one["message"]) != (condition.reason, condition.message)
    return True


def _bare(about: Document, **more: object) -> Document:
    metadata = about["metadata"]
    kept = {key: metadata[key] for key in ("name", "namespace") if key in metadata}
    return {"apiVersion": about["apiVersion"], "kind": about["kind"], "metadata": kept, **more}
