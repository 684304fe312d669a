"""
The built-in pipeline's sink: every event of an affiliate as one document of its bucket or scope,
kept once and byte by byte. `docs/sinks-couchbase.md` is the page for users.
"""

from collections.abc import Sequence
from typing import NamedTuple

from trackmate_consume.ledger import Outcome
from trackmate_consume.sink import Translated
from trackmate_consume.sinks.couchbase_claiming import Keys, claim, in_order
from trackmate_consume.sinks.couchbase_cluster import CouchbaseCluster
from trackmate_consume.sinks.couchbase_faults import check
from trackmate_consume.sinks.couchbase_keys import Collection
from trackmate_consume.sinks.couchbase_marks import Mark, mark_of
from trackmate_contract.names import conflict_key, document_key

_LANES = 4


class _Candidate(NamedTuple):
    """An event on its way into the store."""

    mark: Mark
    keys: Keys
    value: bytes


class CouchbaseStore:
    """
    Keeps the contract of trackmate_consume.sink.Sink, for documents that `translate` made. The
    cluster is closed by whoever made it.
    """

    lanes = _LANES

    def __init__(self, cluster: CouchbaseCluster) -> None:
        self._cluster = cluster
        self._collection = Collection(cluster, cluster.events)

    async def open(self) -> None:
        await self._cluster.open()
        await self._collection.probe()

    async def write(self, batch: Sequence[Translated]) -> Sequence[Outcome]:
        candidates = [_candidate(translated) for translated in batch]
        return await in_order(candidates, lambda one: one.keys.own, self._write)

    async def close(self) -> None:
        """Nothing is held."""

    async def _write(self, one: _Candidate) -> Outcome:
        async def insert(key: str) -> None:
            await self._collection.insert(key, one.value)

        claimed = await claim(one.mark, one.keys, insert, self._collection.document_mark)
        return claimed.outcome


def _candidate(translated: Translated) -> _Candidate:
    """Raises Refused."""
    record, value = translated.record, translated.documents[0].value
    mark = mark_of(record)
    conflict = conflict_key(record.stream, record.id, (mark.fingerprint or b"").hex())
    keys = Keys(document_key(record.stream, record.id), conflict)
    for key in keys:
        check(key, len(value))
    return _Candidate(mark, keys, value)
