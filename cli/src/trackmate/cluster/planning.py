"""
`trackmate plan` on a cluster: what applying a file or a folder would make, change and remove, there
and then by the operator. Nothing is written: the API server is asked by dry runs, so that its rules
speak too; all faults are said at once.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from trackmate.changes import Change, Field, Plan, differences
from trackmate.cluster import comparing, finding
from trackmate.cluster.platform import Unpublished, platform
from trackmate.folder import (
    Declared,
    DeclaredPipeline,
    Folder,
    Owner,
    read_for_cluster,
)
from trackmate.folder import Document as Written
from trackmate.hiding import hidden
from trackmate.misfit import Misfit
from trackmate.spelling import look
from trackmate_contract.affiliate import Affiliate, AffiliateSpec
from trackmate_contract.faults import Faulty
from trackmate_contract.keybook import Book, follow_spec
from trackmate_contract.names import keys_secret
from trackmate_operator.apply import children, holds
from trackmate_operator.blocked import Blocked
from trackmate_operator.cluster import Cluster, Denied, Forbidden
from trackmate_operator.declared import (
    PAUSED,
    accepted,
    annotation,
    book_of,
    host_conflict,
    hosts_of,
    id_of,
    namespace_of,
    passwords_of,
    pipelines,
)
from trackmate_operator.given import given
from trackmate_operator.housing import housed
from trackmate_operator.kinds import AFFILIATE, NAMESPACE, PIPELINE, SECRET, Kind, Ref
from trackmate_operator.plan.affiliate import objects
from trackmate_operator.plan.kafka import wanted
from trackmate_operator.platform import Platform
from trackmate_operator.report import TOPICS
from trackmate_operator.tenant import Document, Tenant

Files = Declared | DeclaredPipeline | Written


async def plan(cluster: Cluster, path: Path) -> Plan:
    """Raises Declined, and what Cluster raises."""
    there = await finding.affiliates(cluster)
    owners = {namespace_of(one): _owner(one) for one in there}
    folder = read_for_cluster(path, owners)
    await look(folder)
    found = _Planning(cluster, there, folder)
    await found.files()
    try:
        given_to_all = await platform(cluster)
    except Unpublished as why:
        if not found.folder.misfits:
            raise
        found.folder.notices.append(str(why))
    else:
        for name in found.concerned():
            await found.affiliate(name, given_to_all)
    return Plan(found.changes, found.folder.misfits, found.folder.notices)


def _owner(document: Document) -> Owner:
    streams = tuple(stream["name"] for stream in document["spec"].get("streams", ()))
    return Owner(document["metadata"]["name"], streams)


class _Planning:
    """One plan, as it is made."""

    def __init__(self, cluster: Cluster, there: Iterable[Document], folder: Folder) -> None:
        self._cluster = cluster
        self._there = {one["metadata"]["name"]: one for one in there}
        self._after = dict(self._there)
        """Affiliates as they would be, by name."""
        self._refused: set[str] = set()
        """Affiliates that the API server would not take so."""
        self._namespaces: dict[str, Document] = {}
        """Those of the files, as they would be."""
        self._pipelines: dict[tuple[str, str], Document] = {}
        """Those of the files, as they would be: by namespace and name."""
        self.folder = folder
        self.changes: list[Change] = []

    async def files(self) -> None:
        """What applying them does by itself."""
        for name, written in self.folder.namespaces.items():
            after = await self._applied(Ref(NAMESPACE, name), name, written)
            if after is not None:
                self._namespaces[name] = after
        for name, declared in self.folder.affiliates.items():
            after = await self._applied(Ref(AFFILIATE, name), name, declared)
            if after is not None:
                self._after[name] = after
            else:
                self._refused.add(name)
        for (namespace, name), pipeline in self.folder.pipelines.items():
            called = f"{self.folder.owners[namespace].name}/{name}"
            after = await self._applied(Ref(PIPELINE, name, namespace), called, pipeline)
            if after is not None:
                self._pipelines[namespace, name] = after

    async def _applied(self, one: Ref, called: str, written: Files) -> Document | None:
        """As it would be then; None where the API server refuses it."""
        found = await self._cluster.get(one)
        document = _document(one.kind, written.content, found)
        try:
            after = await self._dry(one, document, exists=found is not None)
        except Forbidden:
            raise
        except Denied as why:
            self._fault(written, "", f"the API server refuses it: {why}")
            return None
        if found is None:
            self.changes.append(Change("add", one.kind.kind, called))
        elif fields := list(_fields(found, after)):
            self.changes.append(Change("change", one.kind.kind, called, fields))
        return after

    async def _dry(self, one: Ref, document: Document, *, exists: bool) -> Document:
        if exists:
            return await self._cluster.replace(document, dry_run=True)
        if one.namespace and await self._cluster.get(Ref(NAMESPACE, one.namespace)) is None:
            return document  # nobody can be asked before the namespace is there
        return await self._cluster.create(document, dry_run=True) or document

    def concerned(self) -> list[str]:
        """The affiliates that the files are about."""
        owners = {self.folder.owners[namespace].name for namespace, _ in self._pipelines}
        return sorted({*self.folder.affiliates, *owners} & set(self._after) - self._refused)

    async def affiliate(self, name: str, given_to_all: Platform) -> None:
        """What the operator would make of one then."""
        after = self._after[name]
        try:
            taken = accepted(after)
        except Faulty as faulty:
            self._fault_of(name, "spec", f"{faulty}")
            return
        if "deletionTimestamp" in after["metadata"]:
            self._fault_of(name, "metadata.name", f"{name!r} is being deleted; wait, then apply it")
            return
        others = self._after.values()
        if conflict := host_conflict(after, others, given_to_all.settings.host_template):
            self._fault_of(name, "spec.ingest.hosts", conflict)
            return
        if await self._housed(name, namespace_of(after)):
            await self._made(taken, after, given_to_all)

    async def _housed(self, name: str, namespace: str) -> bool:
        """Whether it has its namespace."""
        found = await self._cluster.get(Ref(NAMESPACE, namespace))
        applied = self._namespaces.get(namespace, found)
        try:
            planned = housed(applied, namespace, name)
        except Blocked as blocked:
            self._fault_of(name, "spec.namespace", blocked.condition.message)
            return False
        if applied is None:
            self.changes.append(Change("add", "Namespace", namespace))
        elif found is not None and not holds(applied, planned):
            merged = {**_metadata(applied, "labels"), **_metadata(planned, "labels")}
            fields = differences("metadata.labels", _metadata(applied, "labels"), merged)
            self.changes.append(Change("change", "Namespace", namespace, list(fields)))
        return True

    async def _made(self, taken: Affiliate, after: Document, given_to_all: Platform) -> None:
        name, spec = taken.name, taken.spec
        namespace = namespace_of(after)
        there = await children(self._cluster, namespace, name)
        before = await self._cluster.list(PIPELINE, namespace=namespace)
        declared = pipelines(self._overlaid(namespace, before), taken, there)
        for pipeline, fault in declared.faults.items():
            self._fault_of_pipeline(namespace, pipeline, fault)
        tenant = Tenant(
            name=name,
            id=id_of(after),
            namespace=namespace,
            host=hosts_of(after, given_to_all.settings.host_template)[0],
            spec=spec,
            document=after["spec"],
            given=await self._given(name, namespace, spec),
            book=self._book(name, namespace, spec, there),
            pipelines=declared.taken,
        )
        in_kafka = wanted(tenant, given_to_all.settings.topics)
        held = passwords_of(there)
        passwords = {user.name: held.get(user.name, "") for user in in_kafka.users}
        planned = objects(replace(tenant, passwords=passwords), given_to_all)
        changes, foreign = await comparing.children(self._cluster, tenant, planned, there)
        self.changes += changes
        for sentence in foreign:
            self._fault_of(name, "", sentence)
        earlier = self._earlier(name, tenant, before, there)
        self.changes += comparing.kafka(
            wanted(earlier, given_to_all.settings.topics) if earlier else None, in_kafka
        )
        self._notice(name, after)

    def _overlaid(self, namespace: str, before: Iterable[Document]) -> list[Document]:
        """The Pipelines of a namespace as they would be."""
        found = {one["metadata"]["name"]: one for one in before}
        of_files = {
            name: one for (where, name), one in self._pipelines.items() if where == namespace
        }
        return list({**found, **of_files}.values())

    async def _given(self, name: str, namespace: str, spec: AffiliateSpec) -> Mapping[str, str]:
        """Values of keys that come from Secrets: of the files, or of the cluster."""
        values: dict[str, str] = {}
        elsewhere = []
        for key in spec.ingest.keys:
            if key.value_from is None:
                continue
            wanted_of = key.value_from.secret_key_ref
            secret = self.folder.secrets.get((namespace, wanted_of.name), {})
            if wanted_of.key in secret:
                values[key.name] = secret[wanted_of.key].rstrip("\r\n")
            else:
                elsewhere.append(key)
        found, faults = await given(self._cluster, namespace, elsewhere)
        for fault in faults:
            self._fault_of(name, "spec.ingest.keys", fault)
        return {**found, **values}

    def _book(
        self, name: str, namespace: str, spec: AffiliateSpec, there: Mapping[Ref, Document]
    ) -> Book:
        secret = there.get(Ref(SECRET, keys_secret(name), namespace))
        book: Book = ()
        try:
            book = book_of(secret) if secret is not None else ()
        except ValueError as why:
            self._fault_of(name, "", f"Secret {keys_secret(name)!r} was changed by hand: {why}")
        return follow_spec(book, spec.ingest.keys, now_ms=time.time_ns() // 1_000_000)

    def _earlier(
        self,
        name: str,
        tenant: Tenant,
        before: Iterable[Document],
        there: Mapping[Ref, Document],
    ) -> Tenant | None:
        """The affiliate as it is; None where there is none."""
        found = self._there.get(name)
        if found is None:
            return None
        try:
            taken = accepted(found)
        except Faulty:
            return None
        return replace(
            tenant,
            spec=taken.spec,
            document=found["spec"],
            pipelines=pipelines(before, taken, there).taken,
        )

    def _notice(self, name: str, after: Document) -> None:
        """What a plan cannot know."""
        say = self.folder.notices.append
        if (why := annotation(after, PAUSED)) is not None:
            say(f"Affiliate {name!r} is paused ({why}): nothing of it is made before it goes on.")
        if name not in self._there:
            say(
                f"Whether Kafka has topics of {name!r} from before, only its registry knows: "
                "those of the same id are taken over with their data."
            )
            return
        for one in (self._there[name].get("status") or {}).get("conditions", ()):
            if one["type"] == TOPICS and one["status"] != "True":
                say(f"Kafka may have less of {name!r} than its spec says: {one['message']}")

    def _fault(self, written: Files, path: str, message: str) -> None:
        self.folder.misfits.append(Misfit(written.file, written.lines.find(path), path, message))

    def _fault_of(self, affiliate: str, path: str, message: str) -> None:
        declared = self.folder.affiliates.get(affiliate)
        if declared is not None:
            self._fault(declared, path, message)
        else:
            self.folder.notices.append(f"Affiliate {affiliate!r}: {message}")

    def _fault_of_pipeline(self, namespace: str, pipeline: str, message: str) -> None:
        declared = self.folder.pipelines.get((namespace, pipeline))
        if declared is not None:
            self._fault(declared, "spec", message)
        else:
            self.folder.notices.append(f"Pipeline {pipeline!r} in {namespace}: {message}")


def _document(kind: Kind, written: Mapping[str, Any], found: Document | None) -> Document:
    """What is written, over what is there; the spec as a whole."""
    of_file = written["metadata"]
    named = {key: of_file[key] for key in ("name", "namespace") if key in of_file}
    metadata = dict(found["metadata"]) if found is not None else named
    for part in ("labels", "annotations"):
        merged = {**(metadata.get(part) or {}), **(of_file.get(part) or {})}
        if merged:
            metadata[part] = merged
    body = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata}
    before = found.get("spec") if found is not None else None
    spec = before if kind == NAMESPACE else written.get("spec") or {}
    return body if spec is None else {**body, "spec": spec}


def _fields(found: Document, after: Document) -> Iterator[Field]:
    for part in ("labels", "annotations"):
        yield from differences(f"metadata.{part}", _metadata(found, part), _metadata(after, part))
    yield from differences("spec", hidden(found.get("spec") or {}), hidden(after.get("spec") or {}))


def _metadata(document: Document, part: str) -> dict[str, str]:
    return document["metadata"].get(part) or {}
