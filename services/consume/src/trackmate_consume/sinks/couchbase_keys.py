"""
What is done with the keys of one collection, in bytes: nothing is parsed or written anew.
"""

from contextlib import suppress
from typing import Any

from acouchbase.collection import AsyncCollection
from couchbase.constants import FMT_JSON
from couchbase.exceptions import PathNotFoundException
from couchbase.options import (
    GetOptions,
    InsertOptions,
    LookupInOptions,
    MutateInOptions,
    RemoveOptions,
)
from couchbase.subdocument import StoreSemantics, get, replace, upsert
from couchbase.transcoder import Transcoder

from trackmate_consume.sinks.couchbase_cluster import CouchbaseCluster, Missing
from trackmate_consume.sinks.couchbase_marks import (
    Mark,
    from_attribute,
    from_document,
    to_attribute,
)

_ATTRIBUTE = "tm"
_PROBE = "tm::probe"
"""A key that no document has."""


class _AsItIs(Transcoder):  # type: ignore[misc]
    """Bytes are stored as they are, marked as JSON, and read whatever they are marked as."""

    def encode_value(self, value: bytes) -> tuple[bytes, int]:
        return value, FMT_JSON

    def decode_value(self, value: bytes, flags: int) -> bytes:
        return value


_RAW = _AsItIs()


class Collection:
    """One collection. All raise Down and Refused."""

    def __init__(self, cluster: CouchbaseCluster, name: str) -> None:
        self.name = name
        self._cluster = cluster
        self._reading = {**cluster.read_options, "transcoder": _RAW}
        self._writing = {**cluster.write_options, "transcoder": _RAW}
        self._removing = {
            name: value for name, value in cluster.write_options.items() if name != "expiry"
        }

    async def probe(self) -> None:
        """See that the user may read and write here, without leaving anything behind."""

        async def look(collection: AsyncCollection) -> None:
            await collection.get(_PROBE, GetOptions(**self._reading))

        with suppress(Missing):
            await self._cluster.call(self.name, look)
        await self.remove(_PROBE)

    async def insert(self, key: str, value: bytes) -> None:
        """Raises Taken."""

        async def call(collection: AsyncCollection) -> None:
            await collection.insert(key, value, InsertOptions(**self._writing))

        await self._cluster.call(self.name, call)

    async def document_mark(self, key: str) -> Mark | None:
        """By what the document says itself. Raises Missing."""

        async def call(collection: AsyncCollection) -> bytes:
            found = await collection.get(key, GetOptions(**self._reading))
            value: bytes = found.value
            return value

        return from_document(await self._cluster.call(self.name, call))

    async def insert_marked(self, key: str, value: bytes, mark: Mark) -> None:
        """Raises Taken."""
        await self._mutate(key, value, mark, StoreSemantics.INSERT)

    async def put_marked(self, key: str, value: bytes, mark: Mark) -> None:
        """Whatever was there."""
        await self._mutate(key, value, mark, StoreSemantics.UPSERT)

    async def attribute_mark(self, key: str) -> Mark | None:
        """By the attribute beside the document. Raises Missing."""

        async def call(collection: AsyncCollection) -> Any:
            specs = [get(_ATTRIBUTE, xattr=True)]
            found = await collection.lookup_in(key, specs, LookupInOptions(**self._reading))
            try:
                return found.content_as[bytes](0)
            except PathNotFoundException:
                return b""

        return from_attribute(await self._cluster.call(self.name, call))

    async def remove(self, key: str) -> None:
        """If it is there."""

        async def call(collection: AsyncCollection) -> None:
            await collection.remove(key, RemoveOptions(**self._removing))

        with suppress(Missing):
            await self._cluster.call(self.name, call)

    async def _mutate(self, key: str, value: bytes, mark: Mark, semantics: StoreSemantics) -> None:
        specs = (upsert(_ATTRIBUTE, to_attribute(mark), xattr=True), replace("", value))

        async def call(collection: AsyncCollection) -> None:
            options = MutateInOptions(**self._writing, store_semantics=semantics)
            await collection.mutate_in(key, specs, options)

        await self._cluster.call(self.name, call)
