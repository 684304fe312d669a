"""
The finalizer: as long as an Affiliate has it, the API server keeps it, and what belongs to it can
be let go in order.
"""

from trackmate_operator.cluster import Cluster, Stale
from trackmate_operator.kinds import ref
from trackmate_operator.tenant import Document

FINALIZER = "trackmate.io/finalizer"


def is_held(document: Document) -> bool:
    return FINALIZER in (document["metadata"].get("finalizers") or [])


async def hold(cluster: Cluster, document: Document) -> None:
    """Add it, before anything is made. Raises Stale where the object changed meanwhile."""
    if is_held(document):
        return
    finalizers = document["metadata"].get("finalizers")
    first = {"op": "add", "path": "/metadata/finalizers", "value": [FINALIZER]}
    another = {"op": "add", "path": "/metadata/finalizers/-", "value": FINALIZER}
    add = another if finalizers else first
    await cluster.patch(ref(document), [_unchanged(document), add])


async def let_go(cluster: Cluster, document: Document) -> None:
    """Remove it, after all is done; the API server then removes the object."""
    found: Document | None = document
    while found is not None and is_held(found):
        index = found["metadata"]["finalizers"].index(FINALIZER)
        remove = {"op": "remove", "path": f"/metadata/finalizers/{index}"}
        try:
            await cluster.patch(ref(found), [_unchanged(found), remove])
        except Stale:
            found = await cluster.get(ref(found))
        else:
            return


def _unchanged(document: Document) -> Document:
    version = document["metadata"]["resourceVersion"]
    return {"op": "test", "path": "/metadata/resourceVersion", "value": version}
