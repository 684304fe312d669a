"""
What every Kubernetes object of an affiliate has in common.
"""

from collections.abc import Mapping

from trackmate_operator.tenant import Document

AFFILIATE = "trackmate.io/affiliate"
"""The label that says whose an object is; what carries it and is not planned is removed."""
PART = "trackmate.io/part"
"""The label that says which program a pod or its settings belong to: ingest or consume."""
MANAGER = "trackmate-operator"
"""The field manager, and who the objects say they are managed by."""

_MANAGED_BY = "app.kubernetes.io/managed-by"


def made(
    api_version: str,
    kind: str,
    name: str,
    *,
    affiliate: str,
    namespace: str | None = None,
    labels: Mapping[str, str] | None = None,
    **body: object,
) -> Document:
    """
    One object. Labels and annotations of the Affiliate are never copied: Argo CD and Helm know
    their own objects by them, and would remove these.
    """
    metadata: dict[str, object] = {"name": name}
    if namespace is not None:
        metadata["namespace"] = namespace
    metadata["labels"] = {AFFILIATE: affiliate, _MANAGED_BY: MANAGER, **(labels or {})}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **body}
