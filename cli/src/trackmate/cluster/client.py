"""
The commands on a cluster.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from trackmate.changes import Plan
from trackmate.checks import Check
from trackmate.cluster import connecting, finding, keys, pausing, shown
from trackmate.cluster.connecting import Connection
from trackmate.cluster.examining import examine
from trackmate.cluster.planning import plan
from trackmate.dev import paste
from trackmate.embedded.keybook import IssuedKey
from trackmate.errors import NotHere
from trackmate_contract.quantity import epoch_ms
from trackmate_ingest.keys import Use
from trackmate_operator.cluster import Cluster
from trackmate_operator.declared import namespace_of
from trackmate_operator.kinds import PIPELINE


class OnCluster:
    """What `client.Client` is of the embedded instance."""

    on_cluster: Literal[True] = True

    def __init__(self, connection: Connection, *, chosen: bool) -> None:
        self.connection = connection
        self._chosen = chosen
        """Whether somebody named the context."""

    @property
    def said(self) -> str:
        """Which Trackmate it is."""
        name = self.connection.name
        return f"{name[0].upper()}{name[1:]} at {self.connection.cluster.url}"

    def affiliates(self, only: str | None = None) -> dict[str, Any]:
        return self.connection.run(_status(self.connection.cluster, only))

    def keys(self, affiliate: str) -> list[dict[str, Any]]:
        return self.connection.run(keys.issued(self.connection.cluster, affiliate))

    def create_key(self, affiliate: str, wanted: dict[str, Any]) -> list[dict[str, Any]]:
        return self.connection.run(keys.create(self.connection.cluster, affiliate, wanted))

    def rotate_key(self, affiliate: str, key: str, grace: str) -> list[dict[str, Any]]:
        if keys.ends_at_once(grace):
            self._must_be_chosen("A rotation without a grace ends the old value at once.")
        return self.connection.run(keys.rotate(self.connection.cluster, affiliate, key, grace))

    def revoke_key(self, affiliate: str, key: str) -> list[dict[str, Any]]:
        self._must_be_chosen("A revoked key stops working at once.")
        return self.connection.run(keys.revoke(self.connection.cluster, affiliate, key))

    def snippet(self, affiliate: str, *, pinned: bool) -> str | None:
        """What to paste into a page; None without a browser key that works now."""
        return self.connection.run(_snippet(self.connection.cluster, affiliate, pinned=pinned))

    def pause(self, name: str, reason: str) -> dict[str, Any]:
        return self.connection.run(pausing.pause(self.connection.cluster, name, reason))

    def resume(self, name: str) -> dict[str, Any]:
        return self.connection.run(pausing.resume(self.connection.cluster, name))

    def plan(self, path: Path) -> Plan:
        """What applying a file or a folder would do."""
        return self.connection.run(plan(self.connection.cluster, path))

    def examine(self) -> list[Check]:
        """What is wrong, and what is not."""
        return self.connection.run(examine(self.connection.cluster, self.connection.name))

    def _must_be_chosen(self, why: str) -> None:
        if self._chosen:
            return
        context = self.connection.cluster.context
        raise NotHere(f"{why} Say on which cluster: --context {context}")


@contextmanager
def connected(context: str | None) -> Iterator[OnCluster]:
    """Raises Refusal."""
    with connecting.connected(context) as connection:
        yield OnCluster(connection, chosen=context is not None)


async def _status(cluster: Cluster, only: str | None) -> dict[str, Any]:
    if only is not None:
        one = await finding.affiliate(cluster, only)
        found = [(one, await finding.pipelines(cluster, one))]
    else:
        there = await finding.affiliates(cluster)
        documents = await cluster.list(PIPELINE)
        found = [
            (one, [p for p in documents if p["metadata"]["namespace"] == namespace_of(one)])
            for one in there
        ]
    affiliates = [shown.affiliate(one, pipelines) for one, pipelines in found]
    return {
        "affiliates": sorted(affiliates, key=lambda one: str(one["name"])),
        "faults": [],
        "notices": [],
        "data": None,
    }


async def _snippet(cluster: Cluster, name: str, *, pinned: bool) -> str | None:
    affiliate = await finding.affiliate(cluster, name)
    endpoint = (affiliate.get("status") or {}).get("endpoint")
    if endpoint is None:
        raise NotHere(
            f"Affiliate {name!r} has no address yet: the operator gives it one. See why it has "
            f"not: trackmate status {name}"
        )
    issued = [_issued(one) for one in await keys.issued(cluster, name)]
    return paste.snippet(issued, endpoint, pinned=pinned)


def _issued(key: dict[str, Any]) -> IssuedKey:
    return IssuedKey(
        key["name"],
        key["key"],
        Use(key["use"]),
        tuple(key["origins"]),
        epoch_ms(datetime.fromisoformat(key["created"])),
        epoch_ms(datetime.fromisoformat(key["expires"])) if key["expires"] else None,
    )
