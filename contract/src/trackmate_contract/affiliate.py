"""
The Affiliate: a tenant, its streams, its way in, its store and its people. The same fields, bounds
and defaults as `crds/affiliate.yaml`; what relates one field to another is in `rules.py`.

None means that the platform's settings decide.
"""

from typing import Annotated, Literal

from pydantic import Field

from . import names
from .leaves import (
    BusinessId,
    ByteRate,
    EventField,
    Flag,
    Host,
    Name,
    Namespace,
    Origin,
    Replicas,
    RequestRate,
    SecretName,
    SubjectName,
    Time,
    Title,
    Whole,
    duration,
    size,
)
from .quantity import octets, seconds
from .specs import API_VERSION, ApiVersion, Spec, ValueFrom


class Stream(Spec):
    """A named flow of events: one Kafka topic."""

    name: Name = Field(examples=["events"])
    partitions: Annotated[Whole, Field(ge=1, le=500)] = 6
    retention_s: Annotated[int, duration("1h", "3650d")] = seconds("7d")
    partition_by: Annotated[tuple[EventField, ...], Field(max_length=8)] = (
        "anonymousId",
        "userId",
    )
    id_from: EventField = "messageId"


class KeyLimits(Spec):
    """A key's own limits, below the affiliate's."""

    requests_per_second: RequestRate | None = None
    bytes_per_second: ByteRate | None = None


class Key(Spec):
    """A write key; its value is made by the operator, or comes from a Secret."""

    name: Name = Field(examples=["web"])
    use: Literal["Browser", "Server"] = Field(examples=["Browser"])
    origins: Annotated[tuple[Origin, ...], Field(max_length=64)] = ()
    """Where a browser key may be used; empty is anywhere."""
    expires: Time | None = None
    limits: KeyLimits = KeyLimits()
    value_from: ValueFrom | None = Field(default=None, repr=False)


class Limits(Spec):
    requests_per_second: RequestRate = 2_000
    bytes_per_second: ByteRate = octets("10Mi")
    event_bytes: Annotated[int, size("1Ki", "8Mi")] = octets("64Ki")
    body_bytes: Annotated[int, size("1Ki", "64Mi")] = octets("512Ki")
    batch_events: Annotated[Whole, Field(ge=1, le=100_000)] = 1_000
    body_timeout_s: Annotated[int, duration("1s", "5m")] = seconds("10s")


class Privacy(Spec):
    """What is kept beside an event of the person who sent it."""

    ip: Literal["Drop", "Truncate", "Keep"] = "Truncate"
    user_agent: Flag = True
    origin: Flag = True


class IngestAutoscaling(Spec):
    min_replicas: Replicas = 2
    max_replicas: Replicas = 20


class Ingest(Spec):
    hosts: Annotated[tuple[Host, ...], Field(max_length=16)] = ()
    """Empty: one host from the platform's template."""
    keys: Annotated[tuple[Key, ...], Field(max_length=64)] = (Key(name="web", use="Browser"),)
    limits: Limits = Limits()
    privacy: Privacy = Privacy()
    autoscaling: IngestAutoscaling = IngestAutoscaling()


class User(Spec):
    """A database user for one of the affiliate's own people."""

    name: Name = Field(examples=["analyst"])
    role: Literal["Reader", "Writer"] = Field(examples=["Reader"])
    secret_name: SecretName = Field(examples=["acme-analyst"])


class Store(Spec):
    """The affiliate's place in Couchbase."""

    isolation: Literal["Bucket", "Scope"] | None = None
    memory_bytes: Annotated[int, size("100Mi", "1Ti")] | None = Field(
        default=None, validation_alias="memory", serialization_alias="memory"
    )
    replicas: Annotated[Whole, Field(ge=0, le=3)] | None = None
    durability: (
        Literal["None", "Majority", "MajorityAndPersistActive", "PersistToMajority"] | None
    ) = None
    expiry_s: Annotated[int, duration("1h", "10000d")] | None = None
    users: Annotated[tuple[User, ...], Field(max_length=64)] = ()


class Subject(Spec):
    """A group, user or service account, as in a RoleBinding."""

    kind: Literal["Group", "User", "ServiceAccount"] = Field(examples=["Group"])
    name: SubjectName = Field(examples=["acme-analysts"])
    api_group: Literal["rbac.authorization.k8s.io"] | None = None
    namespace: Namespace | None = None


class Access(Spec):
    """What some of the affiliate's people may do in its namespace."""

    role: Literal["Viewer", "Editor"] = Field(examples=["Viewer"])
    subjects: Annotated[tuple[Subject, ...], Field(min_length=1, max_length=64)] = Field(
        examples=["[{kind: Group, name: acme-analysts}]"]
    )


class AffiliateSpec(Spec):
    id: BusinessId | None = None
    """The business's own; without it the operator makes one."""
    display_name: Title | None = None
    namespace: Namespace | None = None
    streams: Annotated[tuple[Stream, ...], Field(min_length=1, max_length=64)] = (
        Stream(name="events"),
    )
    ingest: Ingest = Ingest()
    store: Store = Store()
    access: Annotated[tuple[Access, ...], Field(max_length=16)] = ()
    deletion_policy: Literal["Retain", "Delete"] = "Retain"


class AffiliateMetadata(Spec, extra="ignore"):
    name: Name = Field(examples=["acme"])


class Affiliate(Spec):
    """A tenant."""

    api_version: ApiVersion = Field(examples=[API_VERSION])
    kind: Literal["Affiliate"] = Field(examples=["Affiliate"])
    metadata: AffiliateMetadata = Field(examples=["{name: acme}"])
    spec: AffiliateSpec = AffiliateSpec()

    @property
    def name(self) -> str:
        return self.metadata.name

    @property
    def namespace(self) -> str:
        return self.spec.namespace or names.namespace(self.name)
