"""
The operator's figures for Prometheus, under the names of controller-runtime where it has them.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from trackmate_operator.tenant import Document

_CONTROLLER = "affiliate"


@dataclass(frozen=True)
class Followed:
    """What is read when somebody asks for the figures."""

    affiliates: Callable[[], Iterable[Document]]
    pipelines: Callable[[], Iterable[tuple[str, str, Document]]]
    """The affiliate, the name and the status of each."""
    depth: Callable[[], int]
    leads: Callable[[], bool]
    lease: str


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

    def follow(self, followed: Followed) -> None:
        """Conditions as gauges, as long as their objects are there."""
        self.registry.register(_Gauges(followed))


class _Gauges(Collector):
    def __init__(self, followed: Followed) -> None:
        self._followed = followed

    def collect(self) -> Iterable[Metric]:
        now = self._followed
        depth, leads = now.depth(), now.leads()
        yield _one("workqueue_depth", "Affiliates that wait to be looked at", _CONTROLLER, depth)
        yield _one("leader_election_master_status", "1 on the one that works", now.lease, leads)
        yield _conditions(
            "affiliate",
            ["affiliate"],
            (([one["metadata"]["name"]], one.get("status") or {}) for one in now.affiliates()),
        )
        yield _conditions(
            "pipeline",
            ["affiliate", "pipeline"],
            (([affiliate, name], status) for affiliate, name, status in now.pipelines()),
        )


def _conditions(
    kind: str, labels: list[str], objects: Iterable[tuple[list[str], Document]]
) -> Metric:
    family = GaugeMetricFamily(
        f"trackmate_{kind}_condition",
        "1 where the condition has this status",
        labels=[*labels, "type", "status"],
    )
    for names, status in objects:
        for one in status.get("conditions", []):
            family.add_metric([*names, one["type"], one["status"]], 1.0)
    return family


def _one(metric: str, text: str, name: str, value: float) -> Metric:
    family = GaugeMetricFamily(metric, text, labels=["name"])
    family.add_metric([name], float(value))
    return family
