"""
One loop that makes what was planned: server-side apply of what differs, then removal of what is
ours and is planned no more. What is as it was planned is not written.
"""

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from hashlib import sha256
from typing import Any

from trackmate_operator.cluster import Cluster, Denied
from trackmate_operator.drift import who_changed
from trackmate_operator.kinds import CHILDREN, SECRET, Ref, ref
from trackmate_operator.plan.objects import AFFILIATE
from trackmate_operator.tenant import Document

PLANNED = "trackmate.io/planned"
"""The annotation that says what was planned, in short: a field that is planned no more differs."""


@dataclass
class Applied:
    """What a pass did."""

    made: list[Ref] = field(default_factory=list)
    mended: dict[Ref, str] = field(default_factory=dict)
    """Those that were planned so before, each with who had changed it."""
    left: list[Ref] = field(default_factory=list)
    """Those that somebody changed again, and that rest for now."""
    changed: list[Ref] = field(default_factory=list)
    removed: list[Ref] = field(default_factory=list)
    faults: dict[Ref, str] = field(default_factory=dict)
    """Those that cannot be made so: a sentence each, with the cure."""


async def children(cluster: Cluster, namespace: str, affiliate: str) -> Mapping[Ref, Document]:
    """What the namespace has of the affiliate's."""
    found: dict[Ref, Document] = {}
    for kind in CHILDREN:
        labels = f"{AFFILIATE}={affiliate}"
        for item in await cluster.list(kind, namespace=namespace, labels=labels):
            found[ref(item)] = item
    return found


async def apply(
    cluster: Cluster,
    planned: Iterable[Document],
    there: Mapping[Ref, Document],
    *,
    resting: Collection[Ref] = (),
) -> Applied:
    """
    Make the namespace as planned; `there` is what it has of ours. What is `resting` is not mended
    where somebody else changed it. Raises Unanswered and Stale.
    """
    done = Applied()
    wanted = {ref(document): marked(document) for document in planned}
    for one, document in wanted.items():
        try:
            await _keep(cluster, document, there.get(one), done, rests=one in resting)
        except Denied as why:
            done.faults[one] = f"{one} cannot be made: {why}."
    for one in [one for one in there if one not in wanted]:
        await cluster.delete(one)
        done.removed.append(one)
    return done


async def _keep(
    cluster: Cluster, document: Document, found: Document | None, done: Applied, *, rests: bool
) -> None:
    one = ref(document)
    if found is None:  # or it has no label of ours: somebody else made it, or took that off
        found = await cluster.get(one)
    if found is None:
        await _write(cluster, document, None)
        done.made.append(one)
        return
    if not is_ours(found):
        done.faults[one] = (
            f"{one} is there and not ours; rename or remove it, or label it "
            f"{AFFILIATE}={document['metadata']['labels'][AFFILIATE]} to hand it over."
        )
        return
    turn = due(found, document, rests=rests)
    if turn in {Due.CHANGE, Due.MEND}:
        await _write(cluster, document, found)
    if turn is Due.CHANGE:
        done.changed.append(one)
    elif turn is Due.MEND:
        done.mended[one] = who_changed(found)
    elif turn is Due.REST:
        done.left.append(one)


class Due(Enum):
    """What is to be done with an object that is there and ours."""

    NOTHING = "it is as it is planned"
    CHANGE = "it was planned otherwise"
    MEND = "somebody changed it"
    REST = "somebody changed it again, and it was mended a moment ago"


def due(found: Document, planned: Document, *, rests: bool) -> Due:
    """`planned` is marked; `rests` says whether it was mended a moment ago."""
    if is_as(found, planned):
        return Due.NOTHING
    mark = (found["metadata"].get("annotations") or {}).get(PLANNED)
    if mark != planned["metadata"]["annotations"][PLANNED]:
        return Due.CHANGE
    return Due.REST if rests else Due.MEND


async def _write(cluster: Cluster, document: Document, found: Document | None) -> None:
    """
    A Secret is written as it was read or not at all: `trackmate keys` writes the book of keys too,
    and a key that it revoked in between would open again. Raises Stale.
    """
    before = found if document["kind"] == SECRET.kind else None
    try:
        await write(cluster, document, before)
    except Denied as why:
        if found is None or not _IMMUTABLE.search(str(why)):
            raise
        await cluster.delete(ref(document))
        await write(cluster, document, None)


async def write(cluster: Cluster, document: Document, before: Document | None) -> Document:
    """
    By apply; then without what others added, which apply leaves alone. Raises Stale where it is not
    as it was `before`, if that is given.
    """
    metadata = document["metadata"]
    if before is not None:
        metadata = {**metadata, "resourceVersion": before["metadata"]["resourceVersion"]}
    written = await cluster.apply({**document, "metadata": metadata})
    if is_as(written, document):
        return written
    return await cluster.replace({**document, "metadata": written["metadata"]})


_ENVELOPE = ("apiVersion", "kind", "metadata")
_IMMUTABLE = re.compile("immutable|cannot change")


def is_as(found: Document, planned: Document) -> bool:
    """
    Whether it is as it is planned, and no more: a rule that somebody adds to a policy or a role
    opens what the plan keeps closed. Labels and annotations of others do not matter.
    """
    body = {key: value for key, value in found.items() if key not in {*_ENVELOPE, "status"}}
    return holds(found, planned) and holds(planned, body)


def is_ours(found: Document) -> bool:
    """Whether it was handed over, or made by a plan of ours."""
    metadata = found["metadata"]
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    return AFFILIATE in labels or PLANNED in annotations


def marked(document: Document) -> Document:
    """The same with the mark of what is planned."""
    short = sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:16]
    metadata = document["metadata"]
    annotations = {**metadata.get("annotations", {}), PLANNED: short}
    return {**document, "metadata": {**metadata, "annotations": annotations}}


def holds(found: Any, planned: Any) -> bool:
    """
    Whether all that is planned is found so; what the server or somebody else adds does not matter.

    >>> holds({"a": 1, "b": [{"c": 2, "default": 3}]}, {"b": [{"c": 2}]})
    True
    >>> holds({"b": [{"c": 2}, {"c": 3}]}, {"b": [{"c": 2}]})
    False
    """
    if isinstance(planned, Mapping):
        return isinstance(found, Mapping) and all(
            key in found and holds(found[key], value) for key, value in planned.items()
        )
    if isinstance(planned, Sequence) and not isinstance(planned, str):
        if not isinstance(found, Sequence) or len(found) != len(planned):
            return False
        return all(map(holds, found, planned))
    return bool(found == planned)
