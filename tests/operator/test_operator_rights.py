"""
What the operator may do on the cluster: enough for all of its work, and nothing that it was not
seen to use, by the API server's own log.
"""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from control_plane import ControlPlane, control_plane
from kafka_broker import Cluster
from operating import SYSTEM, Operating, operating, ready, wait_for
from rights_used import RBAC, RBAC_STRIMZI, Use, given, make_account, refused, used
from tenants import affiliate, pipeline
from trackmate_operator.plan.access import ROLES
from waiting_for import wait_until

pytestmark = [pytest.mark.needs("cluster"), pytest.mark.needs("kafka"), pytest.mark.timeout(240)]


def handed_on() -> set[Use]:
    """What it holds for the roles of an affiliate's people alone."""
    return {
        (group, resource, verb)
        for rules in ROLES.values()
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    with control_plane(audited=True) as plane:
        plane.install_crds()
        plane.kubectl("create", "namespace", SYSTEM)
        yield plane


def test_its_rights_are_those_that_it_uses(
    plane: ControlPlane, kafka: Cluster, tmp_path: Path
) -> None:
    account = make_account(plane, RBAC)
    access = [
        {"role": role, "subjects": [{"kind": "Group", "name": "g"}]}
        for role in ("Viewer", "Editor")
    ]
    with operating(tmp_path, plane, kafka, as_=account) as operator:
        plane.apply(affiliate("righted", access=access))
        ready(plane, "righted")
        plane.apply(pipeline("out", "trackmate-righted"))
        wait_for(lambda: plane.read("pipeline", "out", "-n", "trackmate-righted"))
        for kind, name, patch in _WIDENED:
            mended = len(operator.said("mended"))
            plane.kubectl(
                *("patch", kind, name, "-n", "trackmate-righted", "--type=merge"),
                *("-p", json.dumps(patch)),
            )
            wait_until(partial(_mended_more, operator, mended), f"{kind} is mended")
        plane.kubectl("delete", "pipeline", "out", "-n", "trackmate-righted")
        plane.apply(affiliate("righted", deletionPolicy="Delete"))
        ready(plane, "righted")
        plane.kubectl("annotate", "affiliate", "righted", "trackmate.io/confirm-delete=righted")
        plane.kubectl("delete", "affiliate", "righted", "--timeout=60s")

    assert not refused(plane)
    allowed = set.union(*given(RBAC).values())
    assert used(plane) <= allowed, "RBAC let it pass, so the file is read wrongly"
    unused = allowed - used(plane) - handed_on()
    assert not unused - _SELDOM, "\n".join(map(str, sorted(unused - _SELDOM)))


def _mended_more(operator: Operating, before: int) -> bool:
    return len(operator.said("mended")) > before


_WIDENED: list[tuple[str, str, Any]] = [
    ("networkpolicy", "trackmate-deny", {"spec": {"ingress": [{}]}}),
    ("secret", "righted-keys", {"stringData": {"more": "1"}}),
    ("configmap", "trackmate-ingest", {"data": {"more": "1"}}),
    ("resourcequota", "trackmate", {"spec": {"hard": {"count/pods": "1"}}}),
    ("limitrange", "trackmate", {"spec": {"limits": [{"type": "Pod", "max": {"cpu": "1"}}]}}),
    (
        "role",
        "trackmate-viewer",
        {"aggregationRule": None, "rules": []},
    ),
    ("rolebinding", "trackmate-viewer", {"subjects": None}),
]

_MADE = {
    ("", "namespaces"),
    ("", "secrets"),
    ("", "configmaps"),
    ("", "resourcequotas"),
    ("", "limitranges"),
    ("networking.k8s.io", "networkpolicies"),
    ("rbac.authorization.k8s.io", "roles"),
    ("rbac.authorization.k8s.io", "rolebindings"),
}
_SELDOM: set[Use] = {
    *((group, resource, "create") for group, resource in _MADE),  # apply asks for it, as patch
    ("", "resourcequotas", "delete"),  # when another version plans one less
    ("", "limitranges", "delete"),
    ("networking.k8s.io", "networkpolicies", "delete"),
}
"""What the log does not show, or not of one version."""


def test_without_create_an_apply_makes_nothing(plane: ControlPlane) -> None:
    """Why `create` is given though the log only ever shows `patch`."""
    plane.kubectl("create", "serviceaccount", "patcher", "-n", SYSTEM)
    plane.kubectl("create", "clusterrole", "patcher", "--verb=patch", "--resource=namespaces")
    plane.kubectl(
        *("create", "clusterrolebinding", "patcher", "--clusterrole=patcher"),
        f"--serviceaccount={SYSTEM}:patcher",
    )
    account = plane.service_account(SYSTEM, "patcher")
    document = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "not-made"}}
    said = plane.refused(
        "apply", "--server-side", "-f", "-", input=json.dumps(document), as_=account
    )
    assert "cannot create" in said or "Forbidden" in said


def test_nobody_can_raise_themselves_by_it() -> None:
    for group, resource, verb in set.union(*given(RBAC, RBAC_STRIMZI).values()):
        assert "*" not in {group, resource, verb}
        assert verb not in {"escalate", "bind", "impersonate", "deletecollection"}
        assert resource not in {"pods/exec", "pods/attach", "serviceaccounts/token"}
    assert handed_on() <= given(RBAC)["ClusterRole"], "what it gives, it must have"
