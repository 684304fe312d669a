"""
Affiliates for tests of the operator's plans, without a cluster.
"""

from typing import Any

from trackmate_contract.affiliate import Affiliate
from trackmate_contract.keybook import follow_spec
from trackmate_contract.manifest import parse
from trackmate_contract.pipeline import Pipeline
from trackmate_operator.plan.kafka import wanted
from trackmate_operator.platform import Platform
from trackmate_operator.settings import OperatorSettings
from trackmate_operator.tenant import Declared, Tenant

API = "trackmate.io/v1alpha1"
ROOT = b"r" * 32


def platform(kafka_ca: str = "", **settings: Any) -> Platform:
    """What a platform gives; `settings` as in the file."""
    written = {
        "hostTemplate": "{affiliate}.track.example.com",
        "rootSecretFile": "/etc/trackmate/root/secret",
        "kafka": {"bootstrapServers": "kafka.example:9093"},
        **settings,
    }
    return Platform(OperatorSettings.model_validate(written), ROOT, kafka_ca)


def affiliate(name: str = "acme", **spec: Any) -> dict[str, Any]:
    """As somebody wrote it."""
    return {"apiVersion": API, "kind": "Affiliate", "metadata": {"name": name}, "spec": spec}


def pipeline(name: str, namespace: str = "trackmate-acme", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": API,
        "kind": "Pipeline",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"stream": "events", "sink": {"stdout": {}}, **spec},
    }


def tenant(
    name: str = "acme",
    *,
    pipelines: tuple[str, ...] = (),
    passwords: bool = True,
    given: Platform | None = None,
    **spec: Any,
) -> Tenant:
    """All of one affiliate, its Kafka users included."""
    document = affiliate(name, **spec)
    found = parse(document)
    assert isinstance(found, Affiliate)
    made = Tenant(
        name=name,
        id=f"af-{name}",
        namespace=found.namespace,
        host=f"{name}.track.example.com",
        spec=found.spec,
        document=document["spec"],
        book=follow_spec((), found.spec.ingest.keys, now_ms=0),
        pipelines=tuple(declared(one, found.namespace) for one in pipelines),
    )
    if not passwords:
        return made
    users = wanted(made, (given or platform()).settings.topics).users
    return Tenant(
        **{**_fields(made), "passwords": {user.name: f"canary-{user.name}" for user in users}}
    )


def declared(name: str, namespace: str = "trackmate-acme", **spec: Any) -> Declared:
    document = pipeline(name, namespace, **spec)
    found = parse(document)
    assert isinstance(found, Pipeline)
    return Declared(name, found.spec, document["spec"])


def _fields(made: Tenant) -> dict[str, Any]:
    return {name: getattr(made, name) for name in made.__dataclass_fields__}
