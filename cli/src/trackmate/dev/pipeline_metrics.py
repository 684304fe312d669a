"""
Metrics of every pipeline, read from the books when they are asked for.
"""

from collections.abc import Iterator
from dataclasses import asdict

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from trackmate.dev.instance import Instance

_LABELS = ("affiliate", "pipeline")


class PipelineMetrics(Collector):
    """What the ledger says, for Prometheus. Asked on the metrics server's own thread."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance

    def collect(self) -> Iterator[Metric]:
        events = CounterMetricFamily(
            "trackmate_pipeline_events", "Events settled, by term.", labels=(*_LABELS, "term")
        )
        documents = CounterMetricFamily(
            "trackmate_pipeline_documents", "Documents made.", labels=_LABELS
        )
        waiting = GaugeMetricFamily(
            "trackmate_pipeline_in_flight", "Events accepted and not settled.", labels=_LABELS
        )
        lag = GaugeMetricFamily(
            "trackmate_pipeline_lag_seconds", "Age of the oldest of them.", labels=_LABELS
        )
        letters = GaugeMetricFamily(
            "trackmate_pipeline_dead_letters", "Dead letters kept.", labels=_LABELS
        )
        ready = GaugeMetricFamily(
            "trackmate_pipeline_ready", "1 while it runs as declared.", labels=_LABELS
        )
        for name, found in list(self._instance.affiliates.items()):
            pipelines = dict(found.pipelines.running)
            for line in found.ledger().lines:
                running, labels = pipelines.get(line.name), (name, line.name)
                if running is None:  # it came or went meanwhile
                    continue
                for term, count in asdict(line.counts).items():
                    if term != "documents":
                        events.add_metric((*labels, term), count)
                documents.add_metric(labels, line.counts.documents)
                waiting.add_metric(labels, line.in_flight)
                lag.add_metric(labels, running.group.lag_seconds())
                letters.add_metric(labels, running.group.waiting())
                ready.add_metric(labels, int(running.pipeline.condition.ready))
        yield from (events, documents, waiting, lag, letters, ready)
