"""
What RBAC files give to the operator, and what it was seen to use, by the API server's own log.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from cluster_access import Cluster
from operating import SYSTEM
from whole_lines import whole_lines

FILES = Path(__file__).parents[2] / "charts/trackmate/files"
RBAC = FILES / "rbac.yaml"
RBAC_STRIMZI = FILES / "rbac-strimzi.yaml"
ACCOUNT = f"system:serviceaccount:{SYSTEM}:trackmate-operator"

Use = tuple[str, str, str]
"""Group, resource with its subresource, verb."""


def given(*files: Path) -> dict[str, set[Use]]:
    """By the role's kind."""
    found: dict[str, set[Use]] = {}
    for file in files:
        for document in yaml.safe_load_all(file.read_text()):
            for rule in document.get("rules", []):
                found.setdefault(document["kind"], set()).update(
                    (group, resource, verb)
                    for group in rule["apiGroups"]
                    for resource in rule["resources"]
                    for verb in rule["verbs"]
                )
    return found


def make_account(plane: Cluster, *files: Path) -> Path:
    """Its kubeconfig, with the rights of these files. Their namespaces are there."""
    plane.kubectl("create", "serviceaccount", "trackmate-operator", "-n", SYSTEM)
    for file in files:
        plane.kubectl("apply", "-f", str(file))
    return plane.service_account(SYSTEM, "trackmate-operator")


def used(plane: Cluster) -> set[Use]:
    found = set()
    for request in _requests(plane):
        about = request.get("objectRef")
        if about:
            parts = [about["resource"], about.get("subresource", "")]
            resource = "/".join(filter(None, parts))
            found.add((about.get("apiGroup", ""), resource, request["verb"]))
    return found


def refused(plane: Cluster) -> list[tuple[str, Any]]:
    """The verb, and about what."""
    return [
        (request["verb"], request.get("objectRef"))
        for request in _requests(plane)
        if request["responseStatus"]["code"] == 403
    ]


def _requests(plane: Cluster) -> Iterator[dict[str, Any]]:
    for line in whole_lines(plane.home / "audit.log").splitlines():
        request = json.loads(line)
        if request["user"]["username"] == ACCOUNT and request["stage"] == "ResponseComplete":
            yield request
