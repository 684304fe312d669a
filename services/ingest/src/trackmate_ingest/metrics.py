"""
Ingest's figures for Prometheus.

Counted in plain dictionaries on the event loop's thread and exported on demand: a labelled counter
of the client library costs more than the rest of an answer.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector as MetricSource

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Durations:
    """How often something took how long, in the buckets that all of ingest's histograms have."""

    def __init__(self) -> None:
        self.counts = [0] * (len(_SECONDS) + 1)
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(_SECONDS, seconds)] += 1
        self.sum += seconds

    def add(self, other: "Durations") -> None:
        self.counts = [a + b for a, b in zip(self.counts, other.counts, strict=True)]
        self.sum += other.sum

    def metric(self, name: str, text: str, **labels: str) -> Metric:
        buckets, total = [], 0
        for bound, count in zip((*_SECONDS, "+Inf"), self.counts, strict=True):
            total += count
            buckets.append((str(bound), float(total)))
        family = HistogramMetricFamily(name, text, labels=list(labels))
        family.add_metric(list(labels.values()), buckets, self.sum)
        return family


class Metrics(MetricSource):
    """Labels come from closed sets only: affiliates, streams and our own answers."""

    def __init__(self) -> None:
        self.events: Counter[tuple[str, str]] = Counter()
        self.bytes: Counter[tuple[str, str]] = Counter()
        self.lost: Counter[tuple[str]] = Counter()
        self.answers: Counter[tuple[int, str]] = Counter()
        self.waits = Durations()
        self.draining = False

    def stored(self, affiliate: str, stream: str, *, events: int, size: int, lost: int) -> None:
        self.events[affiliate, stream] += events
        self.bytes[affiliate, stream] += size
        self.lost[affiliate,] += lost  # of none too: a counter is seen to grow from 0

    def answered(self, status: int, kind: str, *, seconds: float) -> None:
        self.answers[status, kind] += 1
        self.waits.observe(seconds)

    def add(self, other: "Metrics") -> None:
        """Count what another process counted."""
        self.events += other.events
        self.bytes += other.bytes
        self.lost.update(other.lost)  # += would leave zeros out
        self.answers += other.answers
        self.waits.add(other.waits)
        self.draining = self.draining or other.draining

    def collect(self) -> Iterable[Metric]:
        yield _counter(
            "trackmate_ingest_events", "Events stored", ("affiliate", "stream"), self.events
        )
        yield _counter(
            "trackmate_ingest_event_bytes",
            "Bytes of request bodies whose events were stored",
            ("affiliate", "stream"),
            self.bytes,
        )
        yield _counter(
            "trackmate_ingest_client_losses",
            "Events that clients lost, as they told with a request that was stored",
            ("affiliate",),
            self.lost,
        )
        yield _counter(
            "trackmate_ingest_answers",
            "Answers to requests that bring events, by status and kind of refusal",
            ("status", "kind"),
            self.answers,
        )
        yield self.waits.metric(
            "trackmate_ingest_answer_seconds", "From the request's headers to its answer"
        )
        yield GaugeMetricFamily(
            "trackmate_ingest_draining", "1 while the server drains", value=float(self.draining)
        )


def _counter(
    name: str, text: str, labels: tuple[str, ...], counts: Mapping[tuple[Any, ...], int]
) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for values, count in dict(counts).items():
        family.add_metric([str(value) for value in values], count)
    return family
