"""
Metrics of every pipeline, read from the books when they are asked for. They are those of
`trackmate-consume`; the parts of a pipeline are not told apart.
"""

import logging
from collections.abc import Iterator

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from trackmate.dev.instance import Instance
from trackmate_consume.pipeline_metrics import Part, Shown, families
from trackmate_consume.sink import Down

_log = logging.getLogger("trackmate.dev")


class PipelineMetrics(Collector):
    """What the ledger says, for Prometheus. Asked on the metrics server's own thread."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance

    def collect(self) -> Iterator[Metric]:
        yield from families(self._shown())

    def _shown(self) -> Iterator[Shown]:
        for name, found in list(self._instance.affiliates.items()):
            pipelines = dict(found.pipelines.running)
            try:
                lines = found.ledger().lines
            except Down as fault:  # the others have figures all the same
                _log.warning("no figures", extra={"fields": {"affiliate": name, "why": str(fault)}})
                continue
            for line in lines:
                running = pipelines.get(line.name)
                if running is None:  # it came or went meanwhile
                    continue
                yield Shown(
                    name,
                    line.name,
                    [Part(running.group.reads.stream or "", 0, line.counts, line.in_flight)],
                    running.group.lag_seconds(),
                    running.group.waiting(),
                    running.pipeline.condition.ready,
                )
