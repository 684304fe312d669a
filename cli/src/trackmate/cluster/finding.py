"""
An affiliate, and what of it a command is asked about; or the sentence that says what there is.
"""

import re

from trackmate.errors import Declined
from trackmate_contract.names import NAME
from trackmate_operator.cluster import Cluster
from trackmate_operator.declared import namespace_of
from trackmate_operator.kinds import AFFILIATE, PIPELINE, Ref
from trackmate_operator.tenant import Document


async def affiliates(cluster: Cluster) -> list[Document]:
    """All. Raises Declined where the cluster does not know them."""
    found = list(await cluster.list(AFFILIATE))
    if not found and not await cluster.serves(AFFILIATE):
        raise Declined(
            "This cluster does not know Affiliates. Install their definitions: kubectl apply "
            "--server-side -f crds/; or name another --context."
        )
    return found


async def affiliate(cluster: Cluster, name: str) -> Document:
    """The one of this name. Raises Declined."""
    found = await cluster.get(Ref(AFFILIATE, name)) if re.fullmatch(NAME, name) else None
    if found is not None:
        return found
    known = sorted(one["metadata"]["name"] for one in await affiliates(cluster))
    raise Declined(
        f"No affiliate {name!r} is in this cluster. There is: {', '.join(known) or 'none'}."
    )


async def named(cluster: Cluster, name: str) -> Document:
    """The Affiliate of `acme`, the Pipeline of `acme/to-crm`. Raises Declined."""
    owner, slash, pipeline = name.partition("/")
    found = await affiliate(cluster, owner)
    if not slash:
        return found
    documents = await pipelines(cluster, found)
    for document in documents:
        if document["metadata"]["name"] == pipeline:
            return document
    known = ", ".join(sorted(one["metadata"]["name"] for one in documents)) or "none"
    raise Declined(f"Affiliate {owner!r} has no pipeline {pipeline!r}. It has: {known}.")


async def pipelines(cluster: Cluster, found: Document) -> list[Document]:
    """Those of an affiliate."""
    return list(await cluster.list(PIPELINE, namespace=namespace_of(found)))
