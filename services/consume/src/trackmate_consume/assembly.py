"""
From a Pipeline's spec to what runs it: its pace and its sink.

A pipeline has one sink and a process of its own, so it imports the client of that sink alone: those
of HTTP and PostgreSQL take 15 MB and 0.3 s, that of Couchbase 20 MB.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING

from trackmate_consume.flow import Pace
from trackmate_consume.formats import FORMATS, Format
from trackmate_consume.sink import Sink, Unfit
from trackmate_consume.sinks.file_names import Writer
from trackmate_consume.sinks.files import FilesSink
from trackmate_consume.sinks.stdout import StdoutSink
from trackmate_contract.couchbase import Couchbase as CouchbaseSettings
from trackmate_contract.pipeline import Batch, Couchbase, PipelineSpec
from trackmate_contract.specs import SecretKeyRef

if TYPE_CHECKING:
    from trackmate_consume.sinks.couchbase_cluster import CouchbaseCluster

NO_COUCHBASE = "there is no Couchbase here; there are files, http, kafka, postgres and stdout"
"""The sinks that run everywhere; `couchbase` does where the affiliate has a bucket or scope."""

_DOCUMENTS = frozenset({"json", "cloudevents"})
"""The formats that make JSON documents."""

Network = IPv4Network | IPv6Network
Secret = Callable[[SecretKeyRef], str | None]
"""The value of a Secret's key in the affiliate's namespace; None where there is none."""


@dataclass(frozen=True)
class Surroundings:
    """What a pipeline is given beside its spec."""

    secret: Secret
    allowed_networks: Sequence[Network] = ()
    """Where sinks may go beside public addresses."""
    affiliate: str = ""
    pipeline: str = ""
    log: str = ""
    """An id of the log that is read: offsets of another one are of other events."""
    couchbase: "CouchbaseCluster | None" = None
    """The affiliate's bucket or scope; None where it has none, as in embedded mode."""


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


def sink_of(spec: PipelineSpec, around: Surroundings, replay: str | None = None) -> Sink:
    """
    The sink that the spec declares, for the replay of this id or for events as they come. Raises
    Unfit for one that does not run here.
    """
    sink, form = spec.sink, FORMATS[spec.format]
    if sink.files is not None:
        writer = Writer(around.affiliate, around.pipeline, around.log, replay)
        return FilesSink(sink.files, form, writer)
    if sink.stdout is not None:
        return StdoutSink(form)
    return _sink_with_client(spec, form, around)


def _sink_with_client(spec: PipelineSpec, form: Format, around: Surroundings) -> Sink:
    sink = spec.sink
    if sink.http is not None:
        from trackmate_consume.sinks.http import HttpSink  # noqa: PLC0415

        return HttpSink(
            sink.http,
            form,
            batched=spec.delivery.batch is not None,
            secret=around.secret,
            allowed=around.allowed_networks,
        )
    if sink.postgres is not None:
        from trackmate_consume.sinks.postgres import PostgresSink  # noqa: PLC0415

        return PostgresSink(
            sink.postgres, form, secret=around.secret, allowed=around.allowed_networks
        )
    if sink.kafka is not None:
        from trackmate_consume.sinks.kafka import KafkaSink  # noqa: PLC0415

        return KafkaSink(sink.kafka, form, secret=around.secret, allowed=around.allowed_networks)
    if sink.couchbase is not None and around.couchbase is not None:
        return _couchbase_sink(spec, sink.couchbase, around, around.couchbase)
    raise Unfit("spec.sink.couchbase", NO_COUCHBASE)


def cluster_of(settings: CouchbaseSettings | None) -> "CouchbaseCluster | None":
    """The affiliate's bucket or scope; whoever asks closes it."""
    if settings is None:
        return None
    from trackmate_consume.sinks.couchbase_cluster import CouchbaseCluster  # noqa: PLC0415

    return CouchbaseCluster(settings)


def store_of(cluster: "CouchbaseCluster | None") -> Sink:
    """The sink of the built-in pipeline. Raises Unfit where there is no cluster."""
    if cluster is None:
        raise Unfit("couchbase", "the pipeline 'store' keeps nothing; say where its bucket is")
    from trackmate_consume.sinks.couchbase_store import CouchbaseStore  # noqa: PLC0415

    return CouchbaseStore(cluster)


def _couchbase_sink(
    spec: PipelineSpec, sink: Couchbase, around: Surroundings, cluster: "CouchbaseCluster"
) -> Sink:
    if spec.format not in _DOCUMENTS:
        raise Unfit(
            "spec.format",
            f"{spec.format!r} makes no JSON documents, and couchbase keeps such alone; write json "
            "or cloudevents",
        )
    from trackmate_consume.sinks.couchbase import CouchbaseSink  # noqa: PLC0415

    return CouchbaseSink(sink, cluster, pipeline=around.pipeline)
