"""
Figures of the log on Kafka for Prometheus: how far its brokers are behind, and what became of its
producer.
"""

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector as MetricSource

from trackmate_ingest.metrics import Durations


class KafkaFigures(MetricSource):
    """Of the log of one affiliate. Those of several processes add up."""

    def __init__(self, affiliate: str) -> None:
        self.affiliate = affiliate
        self.queue = 0
        """Events that are not acknowledged yet."""
        self.fault = False
        self.replaced = 0
        self.acknowledged = Durations()

    def add(self, other: "KafkaFigures", *, gone: bool = False) -> None:
        """Count what another process counted; what it had in hand is lost where it is `gone`."""
        self.replaced += other.replaced
        self.acknowledged.add(other.acknowledged)
        if not gone:
            self.queue += other.queue
            self.fault = self.fault or other.fault

    def collect(self) -> Iterable[Metric]:
        yield self._gauge(
            "trackmate_ingest_kafka_queue_events",
            "Events that Kafka has not acknowledged yet",
            self.queue,
        )
        yield self._gauge(
            "trackmate_ingest_kafka_fault",
            "1 while nothing is taken because the log cannot keep its promise",
            float(self.fault),
        )
        replaced = CounterMetricFamily(
            "trackmate_ingest_kafka_producers_replaced",
            "Producers that could go on no more and were replaced by another",
            labels=["affiliate"],
        )
        replaced.add_metric([self.affiliate], self.replaced)
        yield replaced
        yield self.acknowledged.metric(
            "trackmate_ingest_kafka_ack_seconds",
            "From the first event of a request handed to Kafka to the last acknowledgement",
            affiliate=self.affiliate,
        )

    def _gauge(self, name: str, text: str, value: float) -> Metric:
        family = GaugeMetricFamily(name, text, labels=["affiliate"])
        family.add_metric([self.affiliate], value)
        return family
