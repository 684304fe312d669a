"""
From a Pipeline's spec to what runs it: its pace and its sink.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from trackmate_consume.flow import Pace
from trackmate_consume.formats import FORMATS
from trackmate_consume.sink import Sink, Unfit
from trackmate_contract.pipeline import Batch, Pipeline, PipelineSpec
from trackmate_contract.specs import SecretKeyRef

Network = IPv4Network | IPv6Network
Secret = Callable[[SecretKeyRef], str | None]
"""The value of a Secret's key in the affiliate's namespace; None where there is none."""


@dataclass(frozen=True)
class Surroundings:
    """What a pipeline is given beside its spec."""

    secret: Secret
    allowed_networks: Sequence[Network] = ()
    """Where `http` may go beside public addresses."""
    folder: Path = Path()
    """What relative paths of `files` begin with."""


def pace_of(spec: PipelineSpec) -> Pace:
    """How events are handed to the sink: as declared, else what suits the sink."""
    delivery = spec.delivery
    per_key = delivery.order == "PerKey"
    if delivery.batch is None and spec.sink.http is not None:
        return Pace(events=1, wait_s=0, retry_s=delivery.retry.for_s, per_key=per_key)
    batch = delivery.batch or Batch()
    return Pace(
        events=batch.events,
        bytes=batch.bytes,
        wait_s=batch.wait_s,
        retry_s=delivery.retry.for_s,
        per_key=per_key,
    )


def sink_of(pipeline: Pipeline, around: Surroundings, *, replay: str | None) -> Sink:
    """The sink that the spec declares. Raises Unfit for one that does not run here."""
    spec, form = pipeline.spec, FORMATS[pipeline.spec.format]
    sink = spec.sink
    if sink.http is not None:
        from trackmate_consume.sinks.http import HttpSink

        return HttpSink(
            sink.http,
            form,
            batched=spec.delivery.batch is not None,
            secret=around.secret,
            allowed=around.allowed_networks,
        )
    if sink.postgres is not None:
        from trackmate_consume.sinks.postgres import PostgresSink

        ref = sink.postgres.connection_secret_ref
        return PostgresSink(sink.postgres, form, around.secret(ref) or "")
    if sink.files is not None:
        from trackmate_consume.sinks.files import FilesSink

        at = sink.files.model_copy(update={"path": str(around.folder / sink.files.path)})
        return FilesSink(at, form, pipeline=pipeline.name, replay=replay)
    if sink.stdout is not None:
        from trackmate_consume.sinks.stdout import StdoutSink

        return StdoutSink(form, pipeline.name)
    name = "kafka" if sink.kafka is not None else "couchbase"
    raise Unfit(
        f"spec.sink.{name}",
        f"the sink {name!r} needs a cluster; here there are http, postgres, files and stdout",
    )
