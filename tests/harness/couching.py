"""
Couchbase for the tests of sinks: the stand-in, or the real cluster that `make verify-couchbase`
names. Buckets, scopes and users are made by the management API either way.
"""

import asyncio
import os
import secrets
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from acouchbase.collection import AsyncCollection
from couchbase.options import GetOptions
from couchbase.transcoder import RawJSONTranscoder

from couchbase_standin.standin import ADMIN, standing
from trackmate_consume.sink import Down
from trackmate_consume.sinks.couchbase_cluster import CouchbaseCluster, Missing
from trackmate_contract.couchbase import Couchbase
from trackmate_contract.names import events_collection

_READY_S = 60.0  # that a real bucket may take until it is there
_BUCKETS = "/pools/default/buckets"


@dataclass
class Couching:
    """A cluster, and what was made in it."""

    address: str
    management: str
    username: str
    password: str
    authority: str = ""
    """File of the authority of its certificates, where that is none of the public ones."""
    made: list[str] = field(default_factory=list)
    """Paths of the management API, to be taken away in the end."""

    def __post_init__(self) -> None:
        trust = ssl.create_default_context(cafile=self.authority or None)
        self.client = httpx.Client(timeout=30, verify=trust)

    def bucket(self) -> str:
        name = f"verify-{secrets.token_hex(4)}"
        form = {"name": name, "ramQuota": 100, "replicaNumber": 0, "bucketType": "couchbase"}
        self._ask("POST", _BUCKETS, **form)
        self.made.append(f"{_BUCKETS}/{name}")
        return name

    def scope(self, bucket: str) -> str:
        """With the collection of the built-in pipeline."""
        name = f"scope-{secrets.token_hex(4)}"
        self._until_taken("POST", f"{_BUCKETS}/{bucket}/scopes", name=name)
        self.collection(bucket, name, events_collection(name))
        return name

    def collection(self, bucket: str, scope: str, name: str) -> None:
        path = f"{_BUCKETS}/{bucket}/scopes/{scope}/collections"
        self._until_taken("POST", path, name=name)

    def user(self, *roles: str) -> tuple[str, str]:
        """Its name and its password. A role is as in `data_reader[acme:web]`."""
        name, password = f"verify-{secrets.token_hex(4)}", secrets.token_hex(12)
        self.set_user(name, password, *roles)
        self.made.append(f"/settings/rbac/users/local/{name}")
        return name, password

    def set_user(self, name: str, password: str, *roles: str) -> None:
        path = f"/settings/rbac/users/local/{name}"
        self._ask("PUT", path, password=password, roles=",".join(roles))

    def settings(
        self, folder: Path, bucket: str, scope: str = "_default", **more: Any
    ) -> Couchbase:
        """Of a user that may read and write there, its password in a file of the folder."""
        where = bucket if scope == "_default" else f"{bucket}:{scope}"
        name, password = self.user(f"data_reader[{where}]", f"data_writer[{where}]")
        file = folder / f"{name}.password"
        file.write_text(password + "\n")
        return Couchbase.model_validate(
            {
                "connectionString": self.address,
                "username": name,
                "passwordFile": str(file),
                "bucket": bucket,
                "scope": scope,
                "caFile": self.authority or None,
                **more,
            }
        )

    def ask(
        self, method: str, path: str, login: tuple[str, str] | None = None, **form: Any
    ) -> httpx.Response:
        login = login or (self.username, self.password)
        url = self.management + path
        return self.client.request(method, url, auth=login, data=form or None)

    def take_away(self) -> None:
        for path in reversed(self.made):
            self.ask("DELETE", path)

    def _ask(self, method: str, path: str, **form: Any) -> None:
        self.ask(method, path, **form).raise_for_status()

    def _until_taken(self, method: str, path: str, **form: Any) -> None:
        """A bucket that was just made may not take it yet."""
        deadline = time.monotonic() + _READY_S
        while self.ask(method, path, **form).is_error and time.monotonic() < deadline:
            time.sleep(0.2)


@contextmanager
def cluster() -> Iterator[Couching]:
    """The one that the environment names, and else the stand-in."""
    address = os.environ.get("TRACKMATE_COUCHBASE", "")
    if not address:
        with standing() as standin:
            found = Couching(standin.address, standin.url, ADMIN.id, ADMIN.password)
            with found.client:
                yield found
        return
    found = Couching(
        address,
        os.environ.get("TRACKMATE_COUCHBASE_MANAGEMENT") or management_of(address),
        os.environ["TRACKMATE_COUCHBASE_USERNAME"],
        os.environ["TRACKMATE_COUCHBASE_PASSWORD"],
        os.environ.get("TRACKMATE_COUCHBASE_CA", ""),
    )
    with found.client:
        try:
            yield found
        finally:
            found.take_away()


def management_of(address: str) -> str:
    """
    Where a cluster's management API is, by its connection string.

    >>> management_of("couchbases://cb.example,cb2.example")
    'https://cb.example:18091'
    """
    scheme, _, hosts = address.partition("://")
    host = hosts.split(",")[0].partition(":")[0]
    return f"https://{host}:18091" if scheme == "couchbases" else f"http://{host}:8091"


@asynccontextmanager
async def connected(settings: Couchbase, **more: Any) -> AsyncIterator[CouchbaseCluster]:
    """A connection, once the bucket is there."""
    found = CouchbaseCluster(settings, **more)
    deadline = time.monotonic() + _READY_S
    try:
        while True:
            try:
                await found.open()
            except Down:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.2)
            else:
                break
        yield found
    finally:
        await found.close()


async def value(found: CouchbaseCluster, key: str, collection: str = "") -> bytes | None:
    """A document's bytes; None where there is none."""

    async def get(where: AsyncCollection) -> bytes:
        got = await where.get(key, GetOptions(transcoder=RawJSONTranscoder()))
        text: bytes = got.value
        return text

    try:
        return await found.call(collection or found.events, get)
    except Missing:
        return None
