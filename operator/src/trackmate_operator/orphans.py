"""
Pipelines in a namespace that is no affiliate's: no look at an affiliate comes upon them, and yet
their status is to say why nothing runs.
"""

from collections.abc import Callable

from trackmate_operator.clock import Clock
from trackmate_operator.cluster import Cluster
from trackmate_operator.kinds import PIPELINE
from trackmate_operator.piping import waiting
from trackmate_operator.saying import say

PATIENCE_S = 5.0
"""How long its Affiliate may be on its way: what is applied together arrives in any order."""


class Orphans:
    """Tells them."""

    def __init__(self, cluster: Cluster, is_owned: Callable[[str], bool], clock: Clock) -> None:
        self._cluster = cluster
        self._is_owned = is_owned
        """Whether a namespace is an affiliate's, as last seen."""
        self._clock = clock

    async def look(self, namespace: str) -> None:
        """Once. Raises Unanswered."""
        if self._is_owned(namespace):
            return
        why = (
            f"Namespace {namespace!r} is no affiliate's, so that nothing runs; apply the Affiliate "
            "that has it, or make the Pipeline in another's namespace."
        )
        for document in await self._cluster.list(PIPELINE, namespace=namespace):
            status = waiting(document, "NoAffiliate", why, now=self._clock.now())
            await say(self._cluster, document, status)
