"""
Of several operators one works: whoever holds the Lease. The others wait with warm caches.

As client-go does it: the holder renews the Lease; one that was not renewed for its whole duration,
by the own clock since it was last seen to change, may be taken.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from trackmate_operator.cluster import Cluster, Denied, Stale, Unanswered
from trackmate_operator.kinds import LEASE, Ref
from trackmate_operator.settings import Lease
from trackmate_operator.tenant import Document

_DURATION_S = 15
_RENEW_S = 2.0
_GIVEN_UP_S = 10.0
"""A holder that could not renew for so long stops working: before another can begin."""

_log = logging.getLogger("trackmate.operator")


class LeadershipLost(Exception):  # noqa: N818 - what happened
    """Another may work now; this process must not."""


@dataclass
class _Seen:
    version: str
    at: float


class Leadership:
    """Of this process, called `identity`."""

    def __init__(
        self, cluster: Cluster, lease: Lease, identity: str, elapsed_s: Callable[[], float]
    ) -> None:
        self._cluster = cluster
        self._ref = Ref(LEASE, lease.name, lease.namespace)
        self._identity = identity
        self._elapsed_s = elapsed_s
        self._seen = _Seen("", 0.0)
        self.held = False

    async def gained(self) -> None:
        """Return once this process is the one."""
        while not await self._try():  # noqa: ASYNC110 - nobody tells when it is free
            await asyncio.sleep(_RENEW_S)
        self.held = True
        _log.info("leading", extra={"fields": {"lease": str(self._ref)}})

    async def keep(self) -> None:
        """Renew, for ever. Raises LeadershipLost."""
        renewed = self._elapsed_s()
        try:
            while True:
                await asyncio.sleep(_RENEW_S)
                if await self._try():
                    renewed = self._elapsed_s()
                elif self._elapsed_s() - renewed > _GIVEN_UP_S or await self._is_others():
                    raise LeadershipLost(f"{self._ref} is held by another, or was not renewed")
        finally:
            self.held = False

    async def give_up(self) -> None:
        """Let another begin at once."""
        with contextlib.suppress(Unanswered, Denied, Stale):
            found = await self._cluster.get(self._ref)
            if found is not None and _holder(found) == self._identity:
                await self._cluster.replace(
                    {**found, "spec": {**found["spec"], "holderIdentity": ""}}
                )

    async def _try(self) -> bool:
        """Take or renew the Lease, if it is free or ours."""
        try:
            found = await self._cluster.get(self._ref)
            if found is None:
                return await self._cluster.create(self._document(None)) is not None
            if not self._may_have(found):
                return False
            await self._cluster.replace(self._document(found))
        except (Unanswered, Denied) as why:
            _log.warning("lease", extra={"fields": {"fault": str(why)}})
            return False
        except Stale:
            return False
        return True

    def _may_have(self, found: Document) -> bool:
        version = found["metadata"]["resourceVersion"]
        if version != self._seen.version:
            self._seen = _Seen(version, self._elapsed_s())
        if _holder(found) in {self._identity, ""}:
            return True
        lasts: int = found["spec"].get("leaseDurationSeconds", _DURATION_S)
        return self._elapsed_s() - self._seen.at > lasts

    async def _is_others(self) -> bool:
        try:
            found = await self._cluster.get(self._ref)
        except Unanswered:
            return False
        return found is not None and _holder(found) != self._identity

    def _document(self, found: Document | None) -> Document:
        now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
        before = found["spec"] if found is not None else {}
        same = before.get("holderIdentity") == self._identity
        spec = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": _DURATION_S,
            "renewTime": now,
            "acquireTime": before.get("acquireTime", now) if same else now,
            "leaseTransitions": before.get("leaseTransitions", 0) + (0 if same else 1),
        }
        metadata = (
            found["metadata"]
            if found is not None
            else {"name": self._ref.name, "namespace": self._ref.namespace}
        )
        return {
            "apiVersion": LEASE.api_version,
            "kind": LEASE.kind,
            "metadata": metadata,
            "spec": spec,
        }


def _holder(found: Document) -> str:
    holder: str = found["spec"].get("holderIdentity") or ""
    return holder
