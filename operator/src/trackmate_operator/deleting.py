"""
The end of an affiliate: its programs and credentials go at once; its data stays, or goes where that
was confirmed; what stayed where is written down.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace

from trackmate_contract.names import keys_secret
from trackmate_contract.quantity import instant
from trackmate_operator.apply import children
from trackmate_operator.backend import Backend, Down
from trackmate_operator.blocked import Blocked
from trackmate_operator.cluster import Cluster
from trackmate_operator.declared import id_of, namespace_of
from trackmate_operator.holding import is_held, let_go
from trackmate_operator.housing import is_home, made_for
from trackmate_operator.kinds import NAMESPACE, SECRET, Ref, ref
from trackmate_operator.owning import Registry
from trackmate_operator.plan.namespace import walls
from trackmate_operator.plan.objects import made
from trackmate_operator.platform import Platform
from trackmate_operator.registration import Registration
from trackmate_operator.report import DELETING
from trackmate_operator.status import Condition
from trackmate_operator.tenant import Document

CONFIRM = "trackmate.io/confirm-delete"
"""The annotation without which no data is removed: its value is the affiliate's name."""
SKIP = "trackmate.io/skip-cleanup"
"""The annotation that gives up what cannot be reached: `kafka`."""
KAFKA = "kafka"


class Deletion:
    """Lets affiliates go."""

    def __init__(
        self, cluster: Cluster, registry: Registry, backend: Backend, platform: Platform
    ) -> None:
        self._cluster = cluster
        self._registry = registry
        self._backend = backend
        self._platform = platform

    async def go_on(self, document: Document, *, now: str) -> None:
        """Do all that is left to do. Raises Blocked, and Unanswered."""
        if not is_held(document):
            return
        _check_confirmed(document)
        name, namespace = document["metadata"]["name"], namespace_of(document)
        await self._stop_programs(name, namespace)
        try:
            registration = await self._release(document, now)
        except _Stranger:  # it was refused: nothing that has its name is its own
            await let_go(self._cluster, document)
            return
        found = await self._cluster.get(Ref(NAMESPACE, namespace))
        home = found if is_home(found, name) else None
        if not _removes(document) and (home or registration):
            await self._cluster.apply(self._record(document, registration, now=now))
        if _removes(document) and home:
            await self._remove(name, home)
        await let_go(self._cluster, document)

    async def _stop_programs(self, name: str, namespace: str) -> None:
        """Nothing is left but the walls, and the write keys."""
        there = await children(self._cluster, namespace, name)
        kept = {*self._lasting(name, namespace)}
        for one in there:
            if one not in kept:
                await self._cluster.delete(one)

    def _lasting(self, name: str, namespace: str) -> Iterator[Ref]:
        """What is as long in the namespace as the data is kept."""
        yield Ref(SECRET, keys_secret(name), namespace)
        yield from map(ref, walls(namespace, name, self._platform.settings.quota))

    async def _release(self, document: Document, now: str) -> Registration | None:
        """
        Take the users away, and let go of the topics; None where nothing was ever ours, or nobody
        answered for too long. Raises _Stranger, and Blocked.
        """
        if _annotations(document).get(SKIP) == KAFKA:
            _check_known(document)
            return None
        name = document["metadata"]["name"]
        try:
            found = await self._registry.find(name)
            if found is None:
                return None
            if found.id != id_of(document):
                raise _Stranger
            await self._backend.revoke(name)
            topics = sorted(found.topics)
            if _removes(document):
                await self._backend.drop(name, topics)
                await self._registry.forget(name)
            else:
                await self._backend.release(name, topics)
                await self._registry.save(replace(found, retained=True))
        except Down as why:
            if self._is_over(document, now):
                _check_known(document)
                return None
            raise Blocked(
                _deleting(
                    "KafkaDown",
                    f"Its Kafka users could not be revoked: {why} Once nobody can reach Kafka any "
                    f"more, annotate the Affiliate {SKIP}={KAFKA} to leave them behind.",
                )
            ) from None
        return found

    def _is_over(self, document: Document, now: str) -> bool:
        since = instant(document["metadata"]["deletionTimestamp"])
        passed = (instant(now) - since).total_seconds()
        return passed > self._platform.settings.give_up_deleting_s

    async def _remove(self, name: str, namespace: Document) -> None:
        """The whole namespace where it was made here, else what was put into it."""
        if made_for(namespace) == name:
            await self._cluster.delete(ref(namespace))
            return
        for one in self._lasting(name, namespace["metadata"]["name"]):
            await self._cluster.delete(one)

    def _record(
        self, document: Document, registration: Registration | None, *, now: str
    ) -> Document:
        """What stayed, and where; for whoever looks for it later."""
        name, namespace = document["metadata"]["name"], namespace_of(document)
        stayed = {
            "affiliate": name,
            "id": id_of(document),
            "deleted": now,
            "namespace": namespace,
            "keys": f"Secret {keys_secret(name)} in namespace {namespace}",
            "topics": sorted(registration.topics) if registration else [],
            "kafka": "users revoked, topics kept" if registration else "left as it is",
        }
        return made(
            "v1",
            "ConfigMap",
            f"retained-{name}",
            affiliate=name,
            namespace=self._platform.settings.lease.namespace,
            data={"retained.json": json.dumps(stayed, indent=2) + "\n"},
        )


class _Stranger(Exception):  # noqa: N818 - what it is
    """The name and what belongs to it are another's."""


def _check_known(document: Document) -> None:
    """
    Where the registry is not asked, the name is whose the status says that it was. Raises
    _Stranger.
    """
    if (document.get("status") or {}).get("id") != id_of(document):
        raise _Stranger


def _removes(document: Document) -> bool:
    return bool(document.get("spec", {}).get("deletionPolicy") == "Delete")


def _check_confirmed(document: Document) -> None:
    name = document["metadata"]["name"]
    if _removes(document) and _annotations(document).get(CONFIRM) != name:
        raise Blocked(
            _deleting(
                "NotConfirmed",
                f"deletionPolicy is Delete: annotate the Affiliate {CONFIRM}={name} to remove its "
                "topics and their data, or set deletionPolicy: Retain to keep them.",
            )
        )


def _deleting(reason: str, message: str) -> Condition:
    return Condition(DELETING, True, reason, message)  # noqa: FBT003 - as in the resource


def _annotations(document: Document) -> Mapping[str, str]:
    return document["metadata"].get("annotations") or {}
