"""
What the watches have shown: every Affiliate as last seen, whom an event of another object concerns,
and whether an event says anything new. Filled by the watches and by what the operator writes; never
asked whether something is gone.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from trackmate_operator.declared import hosts_of, namespace_of
from trackmate_operator.kinds import (
    AFFILIATE,
    CHILDREN,
    KAFKA_TOPIC,
    KAFKA_USER,
    NAMESPACE,
    PIPELINE,
    Ref,
    ref,
)
from trackmate_operator.plan import objects
from trackmate_operator.tenant import Document

_WATCHED = {NAMESPACE, *CHILDREN, AFFILIATE, PIPELINE, KAFKA_TOPIC, KAFKA_USER}
_TOLD_BY_STATUS = {KAFKA_TOPIC, KAFKA_USER}
_PASSING = {"resourceVersion", "generation", "managedFields"}  # of metadata: of a write, not of us


class Seen:
    """Of one operator."""

    def __init__(self, host_template: str) -> None:
        self._host_template = host_template
        self._affiliates: dict[str, Document] = {}
        self._pipelines: dict[Ref, Document] = {}
        """The status of each."""
        self._by_host: dict[str, set[str]] = defaultdict(set)
        self._by_namespace: dict[str, set[str]] = defaultdict(set)
        self._digests: dict[Ref, int] = {}
        """Of each object, as it was last seen or written: a number says as much as the object."""

    def affiliates(self) -> Iterable[Document]:
        return list(self._affiliates.values())

    def pipelines(self) -> Iterator[tuple[str, str, Document]]:
        """Of each that an affiliate has: the affiliate, its name, its status."""
        for one, status in [*self._pipelines.items()]:
            for affiliate in sorted(self._by_namespace.get(one.namespace or "", ()))[:1]:
                yield affiliate, one.name, status

    def rivals(self, affiliate: Document) -> Iterable[Document]:
        """Those that share a host with it, and itself where it was seen."""
        names = {name for host in self._hosts(affiliate) for name in self._by_host.get(host, ())}
        return [self._affiliates[name] for name in names]

    def is_owned(self, namespace: str) -> bool:
        """Whether it is an affiliate's."""
        return namespace in self._by_namespace

    def note(self, affiliate: Document, *, gone: bool) -> None:
        name = affiliate["metadata"]["name"]
        self._forget(name)
        if gone:
            return
        found = {**affiliate, "metadata": _lasting(affiliate["metadata"])}
        self._affiliates[name] = found
        for host in self._hosts(found):
            self._by_host[host].add(name)
        self._by_namespace[namespace_of(found)].add(name)

    def note_pipeline(self, pipeline: Document, *, gone: bool) -> None:
        if gone:
            self._pipelines.pop(ref(pipeline), None)
        else:
            self._pipelines[ref(pipeline)] = pipeline.get("status") or {}

    def is_news(self, document: Document, *, gone: bool) -> bool:
        """
        Whether this event says what was not known. What controllers write into the status of their
        objects is none, nor is what the operator itself has written.
        """
        if gone:
            self._digests.pop(ref(document), None)
            return True
        return self._digested(document)

    def wrote(self, document: Document) -> None:
        """It is as the operator has just written it."""
        if ref(document).kind in _WATCHED:
            self._digested(document)

    def concerned(self, document: Document) -> Iterator[str]:
        """The affiliate whose object it is: by its label, or by the namespace that it is in."""
        metadata = document["metadata"]
        whose = (metadata.get("labels") or {}).get(objects.AFFILIATE)
        if whose is not None:
            yield whose
            return
        yield from sorted(self._by_namespace.get(metadata.get("namespace"), ()))

    def _digested(self, document: Document) -> bool:
        """Whether it differs from what was known."""
        one, digest = ref(document), _digest(document)
        before = self._digests.get(one)
        self._digests[one] = digest
        return digest != before

    def _forget(self, name: str) -> None:
        before = self._affiliates.pop(name, None)
        if before is None:
            return
        for host in self._hosts(before):
            _discard(self._by_host, host, name)
        _discard(self._by_namespace, namespace_of(before), name)

    def _hosts(self, affiliate: Document) -> list[str]:
        return hosts_of(affiliate, self._host_template)


def _discard(index: dict[str, set[str]], key: str, name: str) -> None:
    index[key].discard(name)
    if not index[key]:
        del index[key]


def _lasting(metadata: Document) -> Document:
    return {key: value for key, value in metadata.items() if key not in _PASSING}


def _digest(document: Document) -> int:
    passing = set() if ref(document).kind in _TOLD_BY_STATUS else {"status"}
    said: Mapping[str, object] = {
        key: value for key, value in document.items() if key not in passing
    }
    return hash(json.dumps({**said, "metadata": _lasting(document["metadata"])}, sort_keys=True))
