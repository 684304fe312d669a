"""
The kinds of object that the operator reads or writes, and where the API server has them.
"""

from collections.abc import Mapping
from typing import NamedTuple

from trackmate_contract.specs import API_VERSION
from trackmate_operator.tenant import Document


class Kind(NamedTuple):
    """One kind of object."""

    api_version: str
    kind: str
    plural: str

    @property
    def group(self) -> str:
        """Empty for what belongs to no group, as Secrets do."""
        return self.api_version.rpartition("/")[0]

    @property
    def version(self) -> str:
        return self.api_version.rpartition("/")[2]

    @property
    def resource(self) -> str:
        """As kubectl takes it, and as its CRD is called: `affiliates.trackmate.io`."""
        return f"{self.plural}.{self.group}".removesuffix(".")


NAMESPACE = Kind("v1", "Namespace", "namespaces")
SECRET = Kind("v1", "Secret", "secrets")
CONFIG_MAP = Kind("v1", "ConfigMap", "configmaps")
EVENT = Kind("v1", "Event", "events")
LEASE = Kind("coordination.k8s.io/v1", "Lease", "leases")
AFFILIATE = Kind(API_VERSION, "Affiliate", "affiliates")
PIPELINE = Kind(API_VERSION, "Pipeline", "pipelines")
CRD = Kind("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions")
KAFKA = Kind("kafka.strimzi.io/v1", "Kafka", "kafkas")
KAFKA_TOPIC = Kind("kafka.strimzi.io/v1", "KafkaTopic", "kafkatopics")
KAFKA_USER = Kind("kafka.strimzi.io/v1", "KafkaUser", "kafkausers")

CHILDREN = (
    Kind("v1", "ResourceQuota", "resourcequotas"),
    Kind("v1", "LimitRange", "limitranges"),
    Kind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies"),
    Kind("rbac.authorization.k8s.io/v1", "Role", "roles"),
    Kind("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings"),
    SECRET,
    CONFIG_MAP,
)
"""What the plan of an affiliate has in its namespace: of these, what is not planned is removed."""

_KNOWN: Mapping[tuple[str, str], Kind] = {
    (kind.api_version, kind.kind): kind
    for kind in (NAMESPACE, EVENT, LEASE, AFFILIATE, PIPELINE, KAFKA_TOPIC, KAFKA_USER, *CHILDREN)
}


class Ref(NamedTuple):
    """One object."""

    kind: Kind
    name: str
    namespace: str | None = None

    def __str__(self) -> str:
        """As kubectl has it: `secret acme-keys in namespace trackmate-acme`."""
        where = f" in namespace {self.namespace}" if self.namespace else ""
        return f"{self.kind.kind} {self.name!r}{where}"


def serves(crd: Document, kind: Kind) -> bool:
    """Whether the version of the kind that is used here is served."""
    return any(one["name"] == kind.version and one["served"] for one in crd["spec"]["versions"])


def ref(document: Document) -> Ref:
    """Of a whole object."""
    metadata = document["metadata"]
    kind = _KNOWN[document["apiVersion"], document["kind"]]
    return Ref(kind, metadata["name"], metadata.get("namespace"))
