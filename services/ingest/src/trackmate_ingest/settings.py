"""
The settings of `trackmate-ingest`: one affiliate, its keys, Kafka, and where to listen.
"""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from trackmate_contract import kafka, rules
from trackmate_contract.affiliate import AffiliateSpec
from trackmate_contract.faults import Fault, Place
from trackmate_contract.kafka import Kafka
from trackmate_contract.leaves import File, Name, Whole, duration
from trackmate_contract.settings import Settings
from trackmate_ingest.keys import is_loopback
from trackmate_programs.listening import Address, MetricsAt, Port

PROGRAM = "TRACKMATE_INGEST"
"""What the names of the environment variables begin with."""


class Listen(Settings):
    host: Address = "0.0.0.0"
    """Where requests are taken. A loopback address takes them for loopback hosts too."""
    port: Port = 8080
    """TCP port for requests; 0 takes any that is free."""


class IngestSettings(Settings):
    affiliate: Name = Field(examples=["acme"])
    """The affiliate whose events are taken."""
    spec: AffiliateSpec = Field(examples=["{streams: [{name: events}]}"])
    """The affiliate's spec, as in its manifest; its fields are in docs/reference-affiliate.md."""
    keys_file: File = Field(examples=["/etc/trackmate/keys/keys.json"])
    """File of the write keys, in the form of `trackmate keys list --json`."""
    kafka: Kafka = Field(examples=["{bootstrapServers: 'kafka-bootstrap.kafka:9093'}"])
    """How Kafka is reached."""
    listen: Listen = Listen()
    """Where requests are taken."""
    metrics: MetricsAt = MetricsAt()
    """Where metrics are served."""
    workers: Annotated[Whole, Field(ge=1, le=128)] = 1
    """Processes that take requests; up to one a core. Each lets its part of the rates through."""
    drain_s: Annotated[int, duration("1s", "5m")] = 10
    """How long requests are still taken on SIGTERM, at most."""


def relate(document: Place) -> Iterator[Fault]:
    """What does not fit together."""
    spec, name = document.at("spec"), document.at("affiliate")
    manifest = {"metadata": {"name": name.value}, "spec": spec.value}
    for fault in rules.affiliate(Place("", manifest)):
        yield Fault("affiliate", fault.message) if fault.path == "metadata.name" else fault
    yield from kafka.rules(document.at("kafka"))
    listen = document.at("listen").at("host").value
    hosts = spec.at("ingest").at("hosts")
    if not hosts.each() and not (isinstance(listen, str) and is_loopback(listen)):
        yield hosts.fault("no host is named, so that every request would be refused; name one")
