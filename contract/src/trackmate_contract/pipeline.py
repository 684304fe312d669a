"""
The Pipeline: stream, filter, transform, sink. The same fields, bounds and defaults as
`crds/pipeline.yaml`; what relates one field to another is in `rules.py`.
"""

from typing import Annotated, Literal

from pydantic import Field

from .leaves import (
    Collection,
    Filter,
    Folder,
    HeaderName,
    HeaderValue,
    Jq,
    KafkaServers,
    KafkaTopic,
    Name,
    Namespace,
    Replicas,
    RequestRate,
    SecretName,
    Start,
    Table,
    Time,
    Url,
    Whole,
    duration,
    size,
)
from .quantity import octets, seconds
from .specs import API_VERSION, ApiVersion, SecretKeyRef, Spec, ValueFrom


class Transform(Spec):
    jq: Jq = Field(examples=["'{id: .messageId}'"])


class Header(Spec):
    """A header of every request, with its value here or in a Secret."""

    name: HeaderName = Field(examples=["x-api-key"])
    value: HeaderValue | None = Field(default=None, repr=False)
    value_from: ValueFrom | None = Field(default=None, repr=False)


class Signing(Spec):
    """Standard Webhooks: the backend can tell that a request is ours and unchanged."""

    secret_ref: SecretKeyRef = Field(examples=["{name: crm, key: secret}"], repr=False)


class Tls(Spec):
    """Whom to trust beside the public authorities."""

    ca_secret_ref: SecretKeyRef = Field(examples=["{name: crm, key: ca.crt}"], repr=False)


class Http(Spec):
    url: Url = Field(examples=["https://crm.acme.example/hooks"])
    method: Literal["POST", "PUT", "PATCH"] = "POST"
    headers: Annotated[tuple[Header, ...], Field(max_length=32)] = Field(default=(), repr=False)
    signing: Signing | None = Field(default=None, repr=False)
    tls: Tls | None = Field(default=None, repr=False)
    timeout_s: Annotated[int, duration("1s", "5m")] = seconds("30s")
    """From the start of a request to the last byte of its answer."""
    concurrency: Annotated[Whole, Field(ge=1, le=64)] = 8
    """Requests under way at once; those of one key never overlap."""
    requests_per_second: RequestRate | None = None
    """None is no limit."""


class Postgres(Spec):
    connection_secret_ref: SecretKeyRef = Field(
        examples=["{name: warehouse, key: url}"], repr=False
    )
    table: Table = Field(examples=["events"])
    tls: Tls | None = Field(default=None, repr=False)


class SecretRef(Spec):
    """A whole Secret in the affiliate's namespace."""

    name: SecretName = Field(examples=["partner-kafka"])


class Kafka(Spec):
    """A topic of somebody else's Kafka."""

    bootstrap_servers: KafkaServers = Field(examples=["kafka.acme.example:9093"])
    topic: KafkaTopic = Field(examples=["bookings"])
    credentials_secret_ref: SecretRef | None = Field(default=None, repr=False)


class Rotate(Spec):
    """A file is closed at this size or age, whichever comes first."""

    bytes: Annotated[int, size("1Ki", "10Gi")] = octets("64Mi")
    every_s: Annotated[int, duration("1s", "30d")] = seconds("1h")


class Files(Spec):
    path: Folder = Field(examples=["/data/out"])
    rotate: Rotate = Rotate()


class Couchbase(Spec):
    """The affiliate's own bucket or scope."""

    collection: Collection | None = None
    """None is the default collection, where the built-in pipeline keeps the events as sent."""


class Stdout(Spec):
    """One line a document on the pod's standard output."""


class Sink(Spec):
    """Where documents end: exactly one of these."""

    http: Http | None = None
    postgres: Postgres | None = None
    kafka: Kafka | None = None
    files: Files | None = None
    couchbase: Couchbase | None = None
    stdout: Stdout | None = None


class Batch(Spec):
    """A batch is written at this many events, bytes or after this wait, whichever comes first."""

    events: Annotated[Whole, Field(ge=1, le=10_000)] = 500
    bytes: Annotated[int, size("1Ki", "16Mi")] = octets("1Mi")
    wait_s: Annotated[int, duration("1s", "5m")] = seconds("1s")


class Retry(Spec):
    for_s: Annotated[int, duration("1s", "30d")] = seconds("72h")
    """How long an event that alone is refused is tried again before it is a dead letter."""


class Delivery(Spec):
    batch: Batch | None = None
    """None is what suits the sink: one event a request for `http`, else `Batch()`."""
    retry: Retry = Retry()
    order: Literal["PerKey", "Unordered"] = "PerKey"


class Replay(Spec):
    """Events to send again, once per `id`."""

    id: Name = Field(examples=["fix-1"])
    since: Time | None = Field(default=None, validation_alias="from", serialization_alias="from")
    """None is the oldest that is kept."""
    only: Literal["DeadLetters"] | None = None


class LagAutoscaling(Spec):
    """Replicas by the events that wait; none while none wait needs KEDA."""

    min_replicas: Annotated[Whole, Field(ge=0, le=500)] = 1
    max_replicas: Replicas = Field(examples=["6"])


class PipelineSpec(Spec):
    stream: Name = Field(examples=["events"])
    start: Start = "earliest"
    filter: Filter | None = None
    transform: Transform | None = None
    format: Literal["json", "ndjson", "csv", "text", "cloudevents"] = "json"
    sink: Sink = Field(examples=["{stdout: {}}"])
    delivery: Delivery = Delivery()
    replay: Replay | None = None
    replicas: Annotated[Whole, Field(ge=0, le=500)] | None = None
    """None is one, unless `autoscaling` decides."""
    autoscaling: LagAutoscaling | None = None


class PipelineMetadata(Spec, extra="ignore"):
    name: Name = Field(examples=["bookings-to-crm"])
    namespace: Namespace = Field(examples=["trackmate-acme"])


class Pipeline(Spec):
    """One way of an affiliate's events from a stream to a sink."""

    api_version: ApiVersion = Field(examples=[API_VERSION])
    kind: Literal["Pipeline"] = Field(examples=["Pipeline"])
    metadata: PipelineMetadata = Field(examples=["{name: to-crm, namespace: trackmate-acme}"])
    spec: PipelineSpec = Field(examples=["{stream: events, sink: {stdout: {}}}"])

    @property
    def name(self) -> str:
        return self.metadata.name

    @property
    def namespace(self) -> str:
        return self.metadata.namespace
