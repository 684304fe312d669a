"""
An affiliate's namespace, and the walls around it.
"""

from collections.abc import Iterator
from typing import Any

from trackmate_operator.plan.objects import PART, made
from trackmate_operator.settings import Quota
from trackmate_operator.tenant import Document

_NETWORKING = "networking.k8s.io/v1"
_POD_SECURITY = "pod-security.kubernetes.io"
_NODE_LOCAL = "169.254.0.0/16"  # the cloud's metadata, with the node's own credentials
INGEST_PORT = 8080
METRICS_PORT = 9090


def namespace(name: str, affiliate: str) -> Document:
    """Pods that could break out of it are refused."""
    levels = {f"{_POD_SECURITY}/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}
    return made("v1", "Namespace", name, affiliate=affiliate, labels=levels)


def walls(name: str, affiliate: str, quota: Quota) -> Iterator[Document]:
    """Quota, limits and network policies of the namespace."""
    yield _wall(
        "v1",
        "ResourceQuota",
        "trackmate",
        name,
        affiliate,
        spec={
            "hard": {
                "requests.cpu": quota.cpu,
                "requests.memory": quota.memory,
                "pods": str(quota.pods),
                "services.loadbalancers": "0",
                "services.nodeports": "0",
            }
        },
    )
    yield _wall(
        "v1",
        "LimitRange",
        "trackmate",
        name,
        affiliate,
        spec={
            "limits": [
                {
                    "type": "Container",
                    "default": {"memory": "256Mi"},
                    "defaultRequest": {"cpu": "100m", "memory": "128Mi"},
                }
            ]
        },
    )
    yield _policy("trackmate-deny", name, affiliate, {}, policyTypes=["Ingress", "Egress"])
    yield _policy(
        "trackmate-dns",
        name,
        affiliate,
        {},
        policyTypes=["Egress"],
        egress=[{"ports": [_port(53, "UDP"), _port(53)]}],
    )
    yield _policy(
        "trackmate-ingest",
        name,
        affiliate,
        {"matchLabels": {PART: "ingest"}},
        policyTypes=["Ingress", "Egress"],
        ingress=[{"ports": [_port(INGEST_PORT), _port(METRICS_PORT)]}],
        egress=[_outside()],
    )
    yield _policy(
        "trackmate-consume",
        name,
        affiliate,
        {"matchLabels": {PART: "consume"}},
        policyTypes=["Ingress", "Egress"],
        ingress=[{"ports": [_port(METRICS_PORT)]}],
        egress=[_outside()],
    )


def _outside() -> Document:
    """Brokers and backends have addresses that nobody knows here; none of them is on the node."""
    return {
        "to": [
            {"ipBlock": {"cidr": "0.0.0.0/0", "except": [_NODE_LOCAL]}},
            {"ipBlock": {"cidr": "::/0", "except": ["fe80::/10"]}},
        ]
    }


def _port(number: int, protocol: str = "TCP") -> Document:
    return {"port": number, "protocol": protocol}


def _policy(
    policy: str, namespace: str, affiliate: str, selector: Document, **spec: Any
) -> Document:
    spec = {"podSelector": selector, **spec}
    return _wall(_NETWORKING, "NetworkPolicy", policy, namespace, affiliate, spec=spec)


def _wall(
    api_version: str, kind: str, name: str, namespace: str, affiliate: str, *, spec: Document
) -> Document:
    return made(api_version, kind, name, affiliate=affiliate, namespace=namespace, spec=spec)
