"""
The sink `couchbase`: the documents that a transform made, in the affiliate's own bucket or scope,
every event once. `docs/sinks-couchbase.md` is the page for users.
"""

from collections.abc import Sequence

from trackmate_consume.ledger import Outcome
from trackmate_consume.sink import Document, Translated, Unfit
from trackmate_consume.sinks.couchbase_claiming import Keys, claim, in_order
from trackmate_consume.sinks.couchbase_cluster import CouchbaseCluster
from trackmate_consume.sinks.couchbase_faults import NoPlace, check
from trackmate_consume.sinks.couchbase_keys import Collection
from trackmate_consume.sinks.couchbase_marks import Mark, mark_of, to_attribute
from trackmate_contract.names import made_conflict_key, made_key
from trackmate_contract.pipeline import Couchbase

_LANES = 4
_COLLECTION = "spec.sink.couchbase.collection"


class CouchbaseSink:
    """
    Writes into one collection, under keys that begin with the pipeline's name: two pipelines in one
    collection are not in each other's way. The cluster is closed by whoever made it.
    """

    lanes = _LANES

    def __init__(self, spec: Couchbase, cluster: CouchbaseCluster, *, pipeline: str) -> None:
        self._pipeline = pipeline
        self._cluster = cluster
        self._collection = Collection(cluster, spec.collection or cluster.events)

    async def open(self) -> None:
        """See that the user may read and write in the collection."""
        await self._cluster.open()
        try:
            await self._collection.probe()
        except NoPlace as fault:
            raise Unfit(_COLLECTION, str(fault)) from None

    async def write(self, batch: Sequence[Translated]) -> Sequence[Outcome]:
        candidates = [_Candidate(self._pipeline, translated) for translated in batch]
        for one in candidates:
            one.check()
        return await in_order(candidates, lambda one: one.keys.own, self._write)

    async def close(self) -> None:
        """Nothing is held."""

    async def _write(self, one: "_Candidate") -> Outcome:
        async def insert(key: str) -> None:
            await self._collection.insert_marked(key, one.documents[0].value, one.mark)

        claimed = await claim(one.mark, one.keys, insert, self._collection.attribute_mark)
        if claimed.outcome is not Outcome.DUPLICATE:
            await self._complete(one, claimed.there, conflict=claimed.outcome is Outcome.CONFLICT)
        return claimed.outcome

    async def _complete(self, one: "_Candidate", there: Mark | None, *, conflict: bool) -> None:
        """
        Write what is not written yet: the event's further documents, or all of them anew where the
        record was here before, as its transform may have been another.

        The first is written last: its mark says what there is to be taken away.
        """
        parts = len(one.documents)
        for part in range(parts, there.parts if there else 0):
            await self._collection.remove(one.key(part, conflict=conflict))
        for part in reversed(range(0 if there else 1, parts)):
            key = one.key(part, conflict=conflict)
            await self._collection.put_marked(key, one.documents[part].value, one.mark)


class _Candidate:
    """An event on its way, with its documents."""

    def __init__(self, pipeline: str, translated: Translated) -> None:
        self.documents: tuple[Document, ...] = translated.documents
        self.mark = mark_of(translated.record, parts=len(translated.documents))
        self._pipeline = pipeline
        self._id = translated.record.id

    @property
    def keys(self) -> Keys:
        """Of the first document."""
        return Keys(self.key(0, conflict=False), self.key(0, conflict=True))

    def key(self, part: int, *, conflict: bool) -> str:
        if not conflict:
            return made_key(self._pipeline, self._id, part)
        known = (self.mark.fingerprint or b"").hex()
        return made_conflict_key(self._pipeline, self._id, part, known)

    def check(self) -> None:
        """Raises Refused."""
        beside = len(to_attribute(self.mark))
        for part, document in enumerate(self.documents):
            check(self.key(part, conflict=True), len(document.value) + beside)
