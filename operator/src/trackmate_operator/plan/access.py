"""
What an affiliate's own people may do in its namespace, as `spec.access` says.
"""

from collections.abc import Iterator

from trackmate_contract.affiliate import Subject
from trackmate_operator.plan.objects import made
from trackmate_operator.tenant import Document, Tenant

_RBAC = "rbac.authorization.k8s.io"
_LOOK = ["get", "list", "watch"]

_VIEWER: tuple[Document, ...] = (
    {"apiGroups": ["trackmate.io"], "resources": ["pipelines"], "verbs": _LOOK},
    {
        "apiGroups": [""],
        "resources": ["pods", "pods/log", "services", "configmaps", "events", "resourcequotas"],
        "verbs": _LOOK,
    },
    {"apiGroups": ["apps"], "resources": ["deployments", "replicasets"], "verbs": _LOOK},
)
_EDITOR: tuple[Document, ...] = (
    *_VIEWER,
    {
        "apiGroups": ["trackmate.io"],
        "resources": ["pipelines", "pipelines/scale"],
        "verbs": ["create", "update", "patch", "delete"],
    },
    # Whoever may patch a Secret may read it, and those of Kafka are there too.
    {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]},
)
ROLES = {"Viewer": _VIEWER, "Editor": _EDITOR}


def roles(tenant: Tenant) -> Iterator[Document]:
    """A Role and a RoleBinding for each kind of access that somebody has."""
    for role, rules in ROLES.items():
        subjects = [
            subject
            for access in tenant.spec.access
            if access.role == role
            for subject in access.subjects
        ]
        if not subjects:
            continue
        name = f"trackmate-{role.lower()}"
        yield made(
            f"{_RBAC}/v1",
            "Role",
            name,
            affiliate=tenant.name,
            namespace=tenant.namespace,
            rules=list(rules),
        )
        yield made(
            f"{_RBAC}/v1",
            "RoleBinding",
            name,
            affiliate=tenant.name,
            namespace=tenant.namespace,
            roleRef={"apiGroup": _RBAC, "kind": "Role", "name": name},
            subjects=[_subject(subject) for subject in subjects],
        )


def _subject(subject: Subject) -> Document:
    if subject.kind == "ServiceAccount":
        return {"kind": subject.kind, "name": subject.name, "namespace": subject.namespace}
    return {"kind": subject.kind, "name": subject.name, "apiGroup": _RBAC}
