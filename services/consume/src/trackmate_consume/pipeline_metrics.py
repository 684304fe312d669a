"""
A pipeline's metrics: their names, and what each says. The embedded mode and the program fill them.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from trackmate_consume.ledger import Counts

_LABELS = ("affiliate", "pipeline")
_PLACED = (*_LABELS, "stream", "partition")


@dataclass(frozen=True)
class Part:
    """What is known of one partition: counts of the books, which go on wherever it is read."""

    stream: str
    partition: int
    counts: Counts
    in_flight: int


@dataclass(frozen=True)
class Shown:
    """One pipeline."""

    affiliate: str
    pipeline: str
    parts: Sequence[Part]
    lag_s: float
    dead_letters: int | None
    """Those that wait; None where another member tells."""
    ready: bool


def families(pipelines: Iterable[Shown]) -> Iterator[Metric]:
    """
    Events and documents are told by partition: a sum over them does not jump when a partition goes
    to another member.
    """
    events = CounterMetricFamily(
        "trackmate_pipeline_events", "Events settled, by term.", labels=(*_PLACED, "term")
    )
    documents = CounterMetricFamily(
        "trackmate_pipeline_documents", "Documents made.", labels=_PLACED
    )
    waiting = GaugeMetricFamily(
        "trackmate_pipeline_in_flight", "Events accepted and not settled.", labels=_PLACED
    )
    lag = GaugeMetricFamily(
        "trackmate_pipeline_lag_seconds",
        "Age of the oldest event that is not settled.",
        labels=_LABELS,
    )
    letters = GaugeMetricFamily(
        "trackmate_pipeline_dead_letters", "Dead letters that wait.", labels=_LABELS
    )
    ready = GaugeMetricFamily(
        "trackmate_pipeline_ready", "1 while it runs as declared.", labels=_LABELS
    )
    for one in pipelines:
        labels = (one.affiliate, one.pipeline)
        for part in one.parts:
            placed = (*labels, part.stream, str(part.partition))
            for term, count in asdict(part.counts).items():
                if term != "documents":
                    events.add_metric((*placed, term), count)
            documents.add_metric(placed, part.counts.documents)
            waiting.add_metric(placed, part.in_flight)
        lag.add_metric(labels, one.lag_s)
        if one.dead_letters is not None:
            letters.add_metric(labels, one.dead_letters)
        ready.add_metric(labels, int(one.ready))
    yield from (events, documents, waiting, lag, letters, ready)
