"""
The settings of `trackmate-operator`: what the platform gives to every affiliate.
"""

from collections.abc import Iterator
from ipaddress import ip_network
from typing import Annotated

from pydantic import Field

from trackmate_contract import kafka
from trackmate_contract.faults import Fault, Place
from trackmate_contract.kafka import Kafka
from trackmate_contract.leaves import File, KafkaServers, Name, Namespace, Whole, duration, text
from trackmate_contract.quantity import quoted
from trackmate_contract.settings import Settings
from trackmate_programs.listening import MetricsAt

PROGRAM = "TRACKMATE_OPERATOR"
"""What the names of the environment variables begin with."""

_HOST = r"[a-z0-9.-]*"

HostTemplate = Annotated[
    str,
    text(
        "a template of hosts",
        "a host name with {affiliate} in it, like '{affiliate}.track.example.com'",
        pattern=rf"^{_HOST}\{{affiliate\}}{_HOST}\.{_HOST}[a-z0-9]$",
        longest=200,
    ),
]
Network = Annotated[
    str,
    text("a network", "it like '10.0.0.0/8'", pattern=r"^[0-9a-fA-F.:]+/[0-9]{1,3}$", longest=49),
]
Quantity = Annotated[
    str,
    text(
        "a quantity",
        "it as Kubernetes does, like '16' or '32Gi'",
        pattern=r"^[1-9][0-9]*(m|[kMGT]|[KMGT]i)?$",
        longest=20,
    ),
]
NAMESPACE = "trackmate-system"
"""Where the operator runs, unless the settings say otherwise."""


class Topics(Settings):
    replicas: Annotated[Whole, Field(ge=1, le=9)] = 3
    """Brokers that keep each event. With fewer than 3 the answer 200 promises less, and ingest says
    so."""
    min_insync_replicas: Annotated[Whole, Field(ge=1, le=9)] = 2
    """Brokers that must have an event before it counts as stored."""


class Strimzi(Settings):
    cluster: Name = Field(examples=["events"])
    """The Kafka resource whose operators make topics and users."""
    namespace: Namespace = Field(examples=["kafka"])
    """Its namespace: the only one that they look into."""


class Clients(Settings):
    bootstrap_servers: KafkaServers | None = None
    """Where the affiliates' programs ask for the brokers first; without it, where the operator
    does."""
    ca_file: File | None = None
    """PEM file of the authorities of brokers' certificates, copied to each affiliate; without it
    its programs talk to Kafka as the operator does: with kafka.tls, the system's authorities."""


class Quota(Settings):
    cpu: Quantity = "16"
    """Cores that an affiliate's pods may ask for, together."""
    memory: Quantity = "32Gi"
    """Memory that they may ask for, together."""
    pods: Annotated[Whole, Field(ge=1, le=10_000)] = 100
    """How many there may be."""


class Lease(Settings):
    namespace: Namespace = NAMESPACE
    """Where the Lease is that says which of several operators works."""
    name: Name = "trackmate-operator"
    """The Lease."""


class OperatorSettings(Settings):
    host_template: HostTemplate = Field(examples=["'{affiliate}.track.example.com'"])
    """The host of an affiliate that names none. One that was made before keeps its own."""
    root_secret_file: File = Field(examples=["/etc/trackmate/root/secret"])
    """File of the secret that all write keys are derived from, at least 32 bytes. Keep a copy: a
    cluster made anew with it makes the same keys."""
    kafka: Kafka = Field(examples=["{bootstrapServers: 'kafka-bootstrap.kafka:9093'}"])
    """How the operator reaches Kafka. Its user may make, describe and change topics, users and
    ACLs."""
    clients: Clients = Clients()
    """How the affiliates' programs reach Kafka, with the users that the operator makes."""
    topics: Topics = Topics()
    """How events are kept."""
    strimzi: Strimzi | None = None
    """Make topics and users by Strimzi's resources; without it, the operator makes them itself."""
    allowed_networks: Annotated[tuple[Network, ...], Field(max_length=64)] = ()
    """Networks that sinks may reach beside public addresses."""
    quota: Quota = Quota()
    """What an affiliate's namespace may take."""
    resync_s: Annotated[int, duration("10s", "1h")] = 300
    """How often everything is looked at, though nothing seems to have changed."""
    give_up_deleting_s: Annotated[int, duration("10s", "30d")] = 86_400
    """After how long an Affiliate that is deleted goes though Kafka does not answer; its users are
    then left behind there, and the record says so."""
    lease: Lease = Lease()
    """How several operators agree on one that works."""
    metrics: MetricsAt = MetricsAt()
    """Where metrics, /healthz and /readyz are served."""


def relate(document: Place) -> Iterator[Fault]:
    """What does not fit together."""
    yield from kafka.rules(document.at("kafka"))
    topics = document.at("topics")
    replicas, least = topics.at("replicas").value, topics.at("minInsyncReplicas").value
    replicas, least = 3 if replicas is None else replicas, 2 if least is None else least
    if isinstance(replicas, int) and isinstance(least, int) and least > replicas:
        yield topics.fault(
            f"minInsyncReplicas is {least} and replicas {replicas}, so that nothing could be "
            "stored; lower minInsyncReplicas or raise replicas"
        )
    for network in document.at("allowedNetworks").each():
        try:
            ip_network(str(network.value))
        except ValueError as error:
            yield network.fault(f"{quoted(network.value)} is not a network: {error}")
