"""
The settings of `trackmate-consume`: one pipeline of one affiliate, with what it reads and writes.
"""

from collections.abc import Iterator
from ipaddress import ip_network
from typing import Annotated

from pydantic import Field

from trackmate_contract import couchbase, kafka, rules
from trackmate_contract.couchbase import Couchbase
from trackmate_contract.faults import Fault, Place
from trackmate_contract.kafka import Kafka
from trackmate_contract.leaves import File, Name, text
from trackmate_contract.pipeline import PipelineSpec
from trackmate_contract.quantity import quoted
from trackmate_contract.settings import Settings
from trackmate_programs.listening import MetricsAt

PROGRAM = "TRACKMATE_CONSUME"
"""What the names of the environment variables begin with."""

STORE = "store"
"""The built-in pipeline."""

Reason = Annotated[
    str,
    text(
        "a reason",
        "one line, like 'the CRM moves house'",
        pattern=r"^[^\x00-\x1f\x7f]*$",
        longest=500,
    ),
]
Network = Annotated[
    str,
    text("a network", "it like '10.0.0.0/8'", pattern=r"^[0-9a-fA-F.:]+/[0-9]{1,3}$", longest=49),
]


class ConsumeSettings(Settings):
    affiliate: Name = Field(examples=["acme"])
    """The affiliate whose events are read."""
    pipeline: Name = Field(examples=["bookings-to-crm"])
    """The pipeline's name; `store` is the built-in one."""
    spec: PipelineSpec | None = Field(
        default=None, examples=["{stream: events, sink: {stdout: {}}}"]
    )
    """The Pipeline's spec, as in its manifest; its fields are in docs/reference-pipeline.md. The
    pipeline `store` has none."""
    streams: Annotated[tuple[Name, ...], Field(max_length=64)] = ()
    """What the pipeline `store` reads: every stream of the affiliate."""
    kafka: Kafka = Field(examples=["{bootstrapServers: 'kafka-bootstrap.kafka:9093'}"])
    """How Kafka is reached."""
    couchbase: Couchbase | None = None
    """The affiliate's bucket or scope, for the pipeline `store` and the sink `couchbase`."""
    secrets_folder: File | None = None
    """Folder of the Secrets that the spec names: in it a folder for each, and in that a file for
    each key, as Kubernetes mounts them."""
    allowed_networks: Annotated[tuple[Network, ...], Field(max_length=64)] = ()
    """Networks that sinks may reach beside public addresses."""
    paused: Reason = ""
    """Why nothing is read or written now; nothing here lets it run."""
    resumed: Reason = ""
    """Whatever changes here lets a pipeline go on that paused by itself."""
    metrics: MetricsAt = MetricsAt()
    """Where metrics, /healthz and /readyz are served."""


def relate(document: Place) -> Iterator[Fault]:
    """What does not fit together."""
    spec, name, streams = document.at("spec"), document.at("pipeline"), document.at("streams")
    if name.value == STORE:
        if spec.value is not None:
            yield spec.fault("the pipeline 'store' has no spec; remove it, or rename the pipeline")
        if document.at("couchbase").value is None:
            yield document.at("couchbase").fault(
                "the pipeline 'store' keeps nothing; say where its bucket is"
            )
        if not streams.each():
            yield streams.fault("the pipeline 'store' reads nothing; name the affiliate's streams")
    elif spec.value is None:
        yield spec.fault(f"the pipeline {quoted(name.value)} has no spec; add it")
    else:
        manifest = {"metadata": {"name": name.value}, "spec": spec.value}
        yield from rules.pipeline(Place("", manifest))
    yield from kafka.rules(document.at("kafka"))
    yield from couchbase.rules(document.at("couchbase"))
    for network in document.at("allowedNetworks").each():
        try:
            ip_network(str(network.value))
        except ValueError as error:
            yield network.fault(f"{quoted(network.value)} is not a network: {error}")
