"""
What the operator would make of an affiliate's objects in the cluster and in Kafka. The API server
is asked by dry runs alone; values of Secrets are compared and never shown.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from trackmate.changes import Change, Field, differences
from trackmate.hiding import hidden
from trackmate_contract.kafka_rights import Right
from trackmate_operator.apply import is_as, is_ours, marked
from trackmate_operator.cluster import Cluster, Denied, Forbidden
from trackmate_operator.declared import text_of
from trackmate_operator.kinds import SECRET, Ref, ref
from trackmate_operator.plan.kafka import Topic, User, Wanted
from trackmate_operator.plan.objects import AFFILIATE
from trackmate_operator.plan.programs import KEYS_FILE, SETTINGS_FILE
from trackmate_operator.tenant import Document, Tenant

_SECRET_BEFORE, _SECRET_AFTER = "(secret)", "(another)"
_UNTOLD = {"apiVersion", "kind", "metadata", "status"}


async def children(
    cluster: Cluster, tenant: Tenant, planned: Iterable[Document], there: Mapping[Ref, Document]
) -> tuple[list[Change], list[str]]:
    """
    What would become of the objects in the namespace, and a sentence for each that cannot be made.
    Raises Denied and Unanswered.
    """
    wanted = {ref(document): document for document in planned}
    changes: list[Change] = []
    foreign: list[str] = []
    for one, document in wanted.items():
        found = there.get(one) or await cluster.get(one)
        if found is None:
            changes.append(Change("add", *_called(one)))
        elif not is_ours(found):
            foreign.append(
                f"{one} is there and not ours; rename or remove it, or label it "
                f"{AFFILIATE}={tenant.name} to hand it over"
            )
        elif change := await _changed(cluster, tenant, document, found):
            changes.append(change)
    removed = [Change("remove", *_called(one)) for one in there if one not in wanted]
    return [*changes, *removed], foreign


async def _changed(
    cluster: Cluster, tenant: Tenant, document: Document, found: Document
) -> Change | None:
    one = ref(document)
    document = marked(_with_values(document, found, tenant))
    if is_as(found, document):
        return None
    after = document if one.kind == SECRET else await _tried(cluster, document, found)
    return Change("change", *_called(one), list(_fields(found, after)))


async def _tried(cluster: Cluster, document: Document, found: Document) -> Document:
    """As the API server would have it: by apply, and then without what others added."""
    try:
        after = await cluster.apply(document, dry_run=True)
        if not is_as(after, document):
            kept = {**document["metadata"], "resourceVersion": found["metadata"]["resourceVersion"]}
            after = await cluster.replace({**document, "metadata": kept}, dry_run=True)
    except Forbidden:
        raise
    except Denied:  # of a field that cannot change: the operator makes the object anew
        return document
    return after


def _called(one: Ref) -> tuple[str, str]:
    return one.kind.kind, f"{one.namespace}/{one.name}" if one.namespace else one.name


def _with_values(document: Document, found: Document, tenant: Tenant) -> Document:
    """
    Write keys with the values that they have: they are derived from a secret that the operator
    alone knows, and the same for the same generation.
    """
    if document["kind"] != SECRET.kind or KEYS_FILE not in document["data"]:
        return document
    try:
        same = _told(text_of(document, KEYS_FILE), tenant) == _told(
            text_of(found, KEYS_FILE), tenant
        )
    except (ValueError, TypeError, KeyError):  # changed by hand
        return document
    if not same:
        return document
    return {**document, "data": {**document["data"], KEYS_FILE: found["data"][KEYS_FILE]}}


def _told(text: str | None, tenant: Tenant) -> list[dict[str, Any]]:
    """Keys without their values, but for those that were given."""
    return [
        one if one["name"] in tenant.given else {**one, "key": ""} for one in json.loads(text or "")
    ]


def _fields(found: Document, after: Document) -> Iterator[Field]:
    if found["kind"] == SECRET.kind:
        before, then = found.get("data") or {}, after["data"]
        for name in sorted({*before, *then}):
            if before.get(name) != then.get(name):
                yield Field(
                    f"data.{name}",
                    _SECRET_BEFORE if name in before else None,
                    _SECRET_AFTER if name in then else None,
                )
        return
    for name in sorted({*_body(found), *_body(after)}):
        yield from differences(name, _body(found).get(name), _body(after).get(name))


def _body(document: Document) -> dict[str, Any]:
    """What is compared: settings as what they say, not as text."""
    body = {name: value for name, value in document.items() if name not in _UNTOLD}
    data = body.get("data")
    if isinstance(data, Mapping) and SETTINGS_FILE in data:
        body["data"] = {**data, SETTINGS_FILE: _read(data[SETTINGS_FILE])}
    return body


def _read(text: str) -> Any:
    try:
        settings = json.loads(text)
        return {**settings, "spec": hidden(settings["spec"])}
    except (ValueError, TypeError, KeyError):  # changed by hand: it may hold anything
        return "(unreadable)"


def kafka(before: Wanted | None, after: Wanted) -> Iterator[Change]:
    """What would become of topics and users in Kafka, as far as the specs say it."""
    yield from _topics(
        {one.name: one for one in before.topics} if before else {},
        {one.name: one for one in after.topics},
    )
    yield from _users(
        {one.name: one for one in before.users} if before else {},
        {one.name: one for one in after.users},
    )


def _topics(before: Mapping[str, Topic], after: Mapping[str, Topic]) -> Iterator[Change]:
    for name, topic in after.items():
        if name not in before:
            yield Change("add", "Topic", name, note=_counted(topic.partitions))
        elif fields := list(differences("", asdict(before[name]), asdict(topic))):
            yield Change("change", "Topic", name, fields)
    for name in before:
        if name not in after:
            yield Change("remove", "Topic", name, note="it stays in Kafka, with its data")


def _counted(partitions: int) -> str:
    return "1 partition" if partitions == 1 else f"{partitions} partitions"


def _users(before: Mapping[str, User], after: Mapping[str, User]) -> Iterator[Change]:
    for name, user in after.items():
        if name not in before:
            yield Change("add", "KafkaUser", name)
        elif fields := list(differences("", _shown(before[name]), _shown(user))):
            yield Change("change", "KafkaUser", name, fields)
    for name in before:
        if name not in after:
            yield Change("remove", "KafkaUser", name, note="it can no longer log in")


def _shown(user: User) -> dict[str, Any]:
    return {
        "produceBytes": user.produce_bytes,
        "consumeBytes": user.consume_bytes,
        "rights": sorted(map(_right, user.rights)),
    }


def _right(right: Right) -> str:
    """
    >>> _right(Right("Topic", "acme.events", ("Write", "Describe")))
    'Topic acme.events: Write, Describe'
    """
    return f"{right.resource} {right.name}: {', '.join(right.operations)}"
