"""
The operator's figures for Prometheus, under the names of controller-runtime where it has them.
"""

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from trackmate_operator.tenant import Document

_CONTROLLER = "affiliate"


class Figures:
    """Counted as it happens."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._total = Counter(
            "controller_runtime_reconcile",
            "Looks at an affiliate, by what came of them",
            ["controller", "result"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "controller_runtime_reconcile_time_seconds",
            "How long a look took",
            ["controller"],
            registry=self.registry,
        )

    def looked(self, result: str, seconds: float) -> None:
        """`result` is success, error or unfinished."""
        self._total.labels(_CONTROLLER, result).inc()
        self._seconds.labels(_CONTROLLER).observe(seconds)

    def follow(
        self,
        affiliates: Callable[[], Iterable[Document]],
        *,
        depth: Callable[[], int],
        leads: Callable[[], bool],
    ) -> None:
        """Conditions as gauges, as long as their objects are there."""
        self.registry.register(_Conditions(affiliates, depth, leads))


class _Conditions(Collector):
    def __init__(
        self,
        affiliates: Callable[[], Iterable[Document]],
        depth: Callable[[], int],
        leads: Callable[[], bool],
    ) -> None:
        self._affiliates = affiliates
        self._depth = depth
        self._leads = leads

    def collect(self) -> Iterable[Metric]:
        yield _one("workqueue_depth", "Affiliates that wait to be looked at", self._depth())
        yield _one("leader_election_master_status", "1 on the one that works", self._leads())
        family = GaugeMetricFamily(
            "trackmate_affiliate_condition",
            "1 where the condition has this status",
            labels=["affiliate", "type", "status"],
        )
        for document in self._affiliates():
            for one in (document.get("status") or {}).get("conditions", []):
                name = document["metadata"]["name"]
                family.add_metric([name, one["type"], one["status"]], 1.0)
        yield family


def _one(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=float(value))
