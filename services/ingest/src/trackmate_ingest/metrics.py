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


class Metrics(MetricSource):
    """Labels come from closed sets only: affiliates, streams and our own answers."""

    def __init__(self) -> None:
        self._events: Counter[tuple[str, str]] = Counter()
        self._bytes: Counter[tuple[str, str]] = Counter()
        self._answers: Counter[tuple[int, str]] = Counter()
        self._waits = [0] * (len(_SECONDS) + 1)
        self._waited = 0.0
        self.draining = False

    def stored(self, affiliate: str, stream: str, *, events: int, size: int) -> None:
        self._events[affiliate, stream] += events
        self._bytes[affiliate, stream] += size

    def answered(self, status: int, kind: str, *, seconds: float) -> None:
        self._answers[status, kind] += 1
        self._waits[bisect_left(_SECONDS, seconds)] += 1
        self._waited += seconds

    def collect(self) -> Iterable[Metric]:
        yield _counter(
            "trackmate_ingest_events", "Events stored", ("affiliate", "stream"), self._events
        )
        yield _counter(
            "trackmate_ingest_event_bytes",
            "Bytes of request bodies whose events were stored",
            ("affiliate", "stream"),
            self._bytes,
        )
        yield _counter(
            "trackmate_ingest_answers",
            "Answers to requests that bring events, by status and kind of refusal",
            ("status", "kind"),
            self._answers,
        )
        yield self._histogram()
        yield GaugeMetricFamily(
            "trackmate_ingest_draining", "1 while the server drains", value=float(self.draining)
        )

    def _histogram(self) -> Metric:
        buckets, total = [], 0
        for bound, count in zip((*_SECONDS, "+Inf"), self._waits, strict=True):
            total += count
            buckets.append((str(bound), float(total)))
        return HistogramMetricFamily(
            "trackmate_ingest_answer_seconds",
            "From the request's headers to its answer",
            buckets=buckets,
            sum_value=self._waited,
        )


def _counter(
    name: str, text: str, labels: tuple[str, ...], counts: Mapping[tuple[Any, ...], int]
) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for values, count in dict(counts).items():
        family.add_metric([str(value) for value in values], count)
    return family
