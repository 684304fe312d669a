"""
One look at one affiliate: what is declared, what there is; what is missing is made, what is too
much removed, and what came of it said in the status. The same whatever happened and whatever was
interrupted; after Ready another look writes nothing.
"""

import logging
import random
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace

from trackmate_contract.affiliate import Affiliate
from trackmate_contract.faults import Faulty
from trackmate_contract.keybook import Book, follow_spec
from trackmate_contract.names import keys_secret, topic
from trackmate_operator.apply import Applied, apply, children
from trackmate_operator.backend import Down, Kept
from trackmate_operator.blocked import Blocked
from trackmate_operator.clock import Clock
from trackmate_operator.cluster import Cluster
from trackmate_operator.declared import (
    PAUSED,
    Pipelines,
    accepted,
    annotation,
    book_of,
    host_conflict,
    hosts_of,
    id_of,
    namespace_of,
    passwords_of,
    pinned,
    pipelines,
)
from trackmate_operator.deleting import Deletion
from trackmate_operator.drift import PATIENCE_S, Drift
from trackmate_operator.given import given
from trackmate_operator.holding import hold
from trackmate_operator.housing import house, is_home
from trackmate_operator.kinds import AFFILIATE, PIPELINE, SECRET, Ref
from trackmate_operator.kinds import NAMESPACE as NAMESPACE_KIND
from trackmate_operator.owning import Ownership
from trackmate_operator.piping import is_told, pipeline_status, waiting
from trackmate_operator.plan.affiliate import objects
from trackmate_operator.plan.kafka import Wanted, wanted
from trackmate_operator.platform import Platform
from trackmate_operator.registration import Registration
from trackmate_operator.report import ACCEPTED, CREDENTIALS, NAMESPACE, TOPICS, Report
from trackmate_operator.report import PAUSED as PAUSED_CONDITION
from trackmate_operator.saying import note, say, turned
from trackmate_operator.status import Condition, bad, good, unknown
from trackmate_operator.tenant import Document, Tenant

_log = logging.getLogger("trackmate.operator")

_GOOD = "Everything is as the spec says."
_JITTER = 0.1
_ONCE_ACCEPTED = ("pinned", "id", "namespace", "endpoint", "keySecret")
_IN_KAFKA = ("streams", "retained")
_MOST_RETAINED = 256  # that the CRD has room for


class Unfinished(Exception):  # noqa: N818 - what happened
    """Not all is as it is to be; it is looked at again soon."""


class Reconciler:
    """Keeps affiliates as they are declared."""

    def __init__(
        self,
        cluster: Cluster,
        ownership: Ownership,
        deletion: Deletion,
        platform: Platform,
        *,
        rivals: Callable[[Document], Iterable[Document]],
        clock: Clock,
    ) -> None:
        self._cluster = cluster
        self._ownership = ownership
        self._deletion = deletion
        self._platform = platform
        self._rivals = rivals
        """Affiliates that share a host with this one, as last seen."""
        self._clock = clock
        self._drift = Drift(clock.elapsed_s)

    async def look(self, name: str) -> float | None:
        """
        Gives the seconds after which to look again though nothing happens; None where it is gone.
        Raises Unfinished, Unanswered and Stale.
        """
        found = await self._cluster.get(Ref(AFFILIATE, name))
        if found is None:
            self._drift.forget(name)
            return None
        report = Report()
        try:
            if "deletionTimestamp" in found["metadata"]:
                await self._deletion.go_on(found, now=self._clock.now())
                return None
            await self._keep(found, report)
        except Blocked as blocked:
            report.add(blocked.condition)
            await self._tell_pipelines(found, blocked.condition.message)
        await self._say(found, report)
        return self._after(report)

    async def _keep(self, found: Document, report: Report) -> None:
        """Every step, until one is blocked."""
        affiliate = self._accepted(found, report)
        name, namespace = affiliate.name, namespace_of(found)
        registration = await self._claim(name, id_of(found), report)
        await hold(self._cluster, found)
        await house(self._cluster, namespace, name)
        report.add(good(NAMESPACE, f"Namespace {namespace!r} is there."))

        there = await children(self._cluster, namespace, name)
        documents = await self._cluster.list(PIPELINE, namespace=namespace)
        declared = pipelines(documents, affiliate, there)
        tenant = await self._tenant(found, affiliate, declared, report)
        secret = Ref(SECRET, keys_secret(name), namespace)
        book = self._book(tenant, there.get(secret), registration, report)
        if book is None:  # it is not planned, and yet not to be removed
            there = {one: document for one, document in there.items() if one != secret}
        tenant = replace(tenant, book=book)
        held = passwords_of(there)
        in_kafka = wanted(tenant, self._platform.settings.topics)
        kept = await self._keep_kafka(tenant, in_kafka, registration, held, report)
        tenant = replace(tenant, passwords=_passwords(in_kafka, held, kept))

        resting = self._drift.resting(name)
        done = await apply(self._cluster, objects(tenant, self._platform), there, resting=resting)
        self._report(affiliate.name, done, kept, report)
        for document in documents:
            await say(
                self._cluster,
                document,
                pipeline_status(document, tenant, declared, kept, now=self._clock.now()),
            )

    def _accepted(self, found: Document, report: Report) -> Affiliate:
        why = annotation(found, PAUSED)
        if why is not None:
            message = f"Paused: {why or 'no reason is given'}."
            report.add(Condition(PAUSED_CONDITION, True, "Paused", message))  # noqa: FBT003
            raise Blocked(unknown(ACCEPTED, "Paused", message))
        try:
            affiliate = accepted(found)
        except Faulty as faulty:
            raise Blocked(bad(ACCEPTED, "Invalid", f"{faulty}.")) from None
        conflict = host_conflict(found, self._rivals(found), self._platform.settings.host_template)
        if conflict:
            raise Blocked(bad(ACCEPTED, "HostConflict", conflict))
        report.add(good(ACCEPTED, "The spec can be taken as it is."))
        return affiliate

    def _fields(self, found: Document) -> Mapping[str, object]:
        template = self._platform.settings.host_template
        host = hosts_of(found, template)[0]
        return {
            "pinned": pinned(found, template),
            "id": id_of(found),
            "namespace": namespace_of(found),
            "endpoint": f"https://{host}",
            "keySecret": keys_secret(found["metadata"]["name"]),
        }

    async def _tenant(
        self, found: Document, affiliate: Affiliate, declared: Pipelines, report: Report
    ) -> Tenant:
        """What is declared of it, with the values of keys that come from Secrets."""
        namespace, spec = namespace_of(found), affiliate.spec
        values, faults = await given(self._cluster, namespace, spec.ingest.keys)
        for fault in faults:
            report.add(bad(CREDENTIALS, "SecretMissing", fault))
        return Tenant(
            name=affiliate.name,
            id=id_of(found),
            namespace=namespace,
            host=hosts_of(found, self._platform.settings.host_template)[0],
            spec=spec,
            document=found["spec"],
            given=values,
            pipelines=declared.taken,
        )

    def _book(
        self,
        tenant: Tenant,
        secret: Document | None,
        registration: Registration | None,
        report: Report,
    ) -> Book | None:
        """
        The book of its keys, as the Secret has it, else the registry: new ones for keys that were
        revoked would open again what was closed. None where neither can be read.
        """
        try:
            book = book_of(secret) if secret is not None else None
        except ValueError as why:
            report.add(
                bad(
                    CREDENTIALS,
                    "KeysUnreadable",
                    f"Secret {keys_secret(tenant.name)!r} was changed by hand: {why}. Put its "
                    "book.json back, or delete the Secret: it is made anew as it was.",
                )
            )
            return None
        if book is None and registration is None:
            message = "The write keys are made once the registry in Kafka can be read."
            report.add(unknown(CREDENTIALS, "KafkaDown", message))
            return None
        if book is None and registration is not None:
            book = registration.book
        return follow_spec(book or (), tenant.spec.ingest.keys, now_ms=self._clock.now_ms())

    async def _claim(self, name: str, affiliate_id: str, report: Report) -> Registration | None:
        """What it has, by the registry; None where that cannot be asked: all else goes on."""
        try:
            return await self._ownership.claim(name, affiliate_id)
        except Blocked as blocked:
            if blocked.condition.type != TOPICS:
                raise
            report.add(blocked.condition)
            return None

    async def _keep_kafka(
        self,
        tenant: Tenant,
        in_kafka: Wanted,
        registration: Registration | None,
        held: Mapping[str, str],
        report: Report,
    ) -> Kept:
        """What is in Kafka; nothing where it cannot be asked."""
        if registration is None:
            return Kept({})
        try:
            book = registration.book if tenant.book is None else tenant.book
            owned = await self._ownership.keep(registration, book, in_kafka, held)
        except Blocked as blocked:
            report.add(blocked.condition)
            return Kept({})
        report.in_kafka = _in_kafka(tenant, in_kafka, owned.registration)
        _report_lost(owned.registration.lost, in_kafka, report)
        return owned.kept

    def _report(self, name: str, done: Applied, kept: Kept, report: Report) -> None:
        for one, fault in done.faults.items():
            about = CREDENTIALS if one.kind == SECRET else NAMESPACE
            report.add(bad(about, "Conflict", fault))
        _report_kafka(kept, report)
        report.add(good(TOPICS, "All topics are there."))
        report.add(good(CREDENTIALS, "All keys and users are there."))
        for one, who in {**done.mended, **kept.mended}.items():
            self._drift.mended(name, one, who)
            _log.warning("mended", extra={"fields": {"affiliate": name, "object": str(one)}})
        left = [*done.left, *kept.left]
        report.rests = bool(left)
        report.add(self._drift.condition(name, left))
        steps = (("Made", done.made), ("Changed", done.changed), ("Removed", done.removed))
        report.changes += [f"{words} {_listed(refs)}." for words, refs in steps if refs]
        report.changes += kept.changed

    async def _say(self, found: Document, report: Report) -> None:
        before = found.get("status") or {}
        fields = _kept_fields(before, _ONCE_ACCEPTED)
        if report.holds(ACCEPTED):
            fields |= self._fields(found)
        fields |= _kept_fields(before, _IN_KAFKA) if report.in_kafka is None else report.in_kafka
        said = report.status(found, _GOOD, now=self._clock.now(), fields=fields)
        await self._tell(found, report)
        await say(self._cluster, found, said)
        if report.lost:
            with suppress(Down):  # then it is said again
                await self._ownership.told(found["metadata"]["name"])

    async def _tell_pipelines(self, found: Document, why: str) -> None:
        """Of those that have heard nothing yet, why nothing is done for them."""
        name, namespace = found["metadata"]["name"], namespace_of(found)
        if not is_home(await self._cluster.get(Ref(NAMESPACE_KIND, namespace)), name):
            return
        for document in await self._cluster.list(PIPELINE, namespace=namespace):
            if not is_told(document):
                said = f"Waits for Affiliate {name!r}: {why}"
                status = waiting(document, "AffiliateBlocked", said, now=self._clock.now())
                await say(self._cluster, document, status)

    async def _tell(self, found: Document, report: Report) -> None:
        """In one Event: what it has turned to, and what was done."""
        ready = report.ready(_GOOD)
        if turned(found, ready):
            message = " ".join([ready.message, *report.changes])
            await self._note(found, ready.reason, message, warning=ready.holds is not True)
        elif report.changes:
            await self._note(found, "Changed", " ".join(report.changes))

    async def _note(
        self, found: Document, reason: str, message: str, *, warning: bool = False
    ) -> None:
        fields = {"affiliate": found["metadata"]["name"], "reason": reason, "what": message}
        _log.info("changed", extra={"fields": fields})
        await note(self._cluster, found, reason, message, now=self._clock.now(), warning=warning)

    def _after(self, report: Report) -> float:
        if report.ready(_GOOD).holds is not True and not report.waits_for_people():
            raise Unfinished
        resync = self._platform.settings.resync_s
        if report.rests:
            return min(PATIENCE_S, resync)
        return random.uniform(resync * (1 - _JITTER), resync * (1 + _JITTER))  # noqa: S311


def _passwords(in_kafka: Wanted, held: Mapping[str, str], kept: Kept) -> Mapping[str, str]:
    """Of every user that is wanted: what it logs in with, or did before it could not be asked."""
    known = {**held, **kept.passwords}
    return {user.name: known[user.name] for user in in_kafka.users if user.name in known}


def _report_lost(lost: Iterable[str], in_kafka: Wanted, report: Report) -> None:
    """Of what nothing wants any more, there is nothing that is not as it is to be."""
    wanted = {one.name for one in in_kafka.topics}
    said = {name: f"Topic {name!r} was removed by somebody, with its data." for name in lost}
    missed = [sentence for name, sentence in said.items() if name in wanted]
    report.lost = bool(said)
    report.changes += [sentence for name, sentence in said.items() if name not in wanted]
    if missed:
        report.add(bad(TOPICS, "TopicLost", " ".join(missed)))


def _report_kafka(kept: Kept, report: Report) -> None:
    about = {"topic": TOPICS, "user": CREDENTIALS}
    for item, fault in kept.faults.items():
        report.add(bad(about[item.what], "KafkaRefused", fault))
    for item, sentence in kept.awaited.items():
        report.add(unknown(about[item.what], "KafkaAwaited", sentence))


def _listed(refs: Iterable[Ref]) -> str:
    return ", ".join(f"{one.kind.kind} {one.name!r}" for one in refs)


def _in_kafka(tenant: Tenant, in_kafka: Wanted, registration: Registration) -> Document:
    """
    The streams of the spec, with Kafka's id of each topic: another one is another topic. And the
    topics that are there and wanted no more.
    """
    ids = registration.topics
    streams = [
        {"name": one.name, "partitions": one.partitions, "topicId": topic_id}
        for one in tenant.spec.streams
        if (topic_id := ids.get(topic(tenant.name, one.name)))
    ]
    wanted = {one.name for one in in_kafka.topics}
    left = sorted(name for name, topic_id in ids.items() if topic_id and name not in wanted)
    retained = [{"kind": "Topic", "name": name} for name in left[:_MOST_RETAINED]]
    return {"streams": streams, **({"retained": retained} if retained else {})}


def _kept_fields(before: Mapping[str, object], names: Iterable[str]) -> dict[str, object]:
    return {name: before[name] for name in names if name in before}
