"""
How the API server serves both kinds: what people see of them, what it fills in, who writes what.
"""

import json
from typing import Any

import pytest

from admission import Admission, Manifest
from cluster_access import CRDS, Cluster
from trackmate_contract.manifest import parse

pytestmark = pytest.mark.needs("cluster")

STDOUT = {"stream": "events", "sink": {"stdout": {}}}
NOW = "2026-11-01T00:00:00Z"


def condition(kind: str, reason: str = "Done", message: str = "All is done.") -> Manifest:
    said = {"type": kind, "status": "True", "reason": reason, "message": message}
    return {**said, "lastTransitionTime": NOW}


def table(text: str) -> list[list[str]]:
    """The cells of what kubectl prints, which are two spaces apart or more."""
    return [[cell for cell in line.split("  ") if cell.strip()] for line in text.splitlines()]


def shown(text: str) -> list[dict[str, str]]:
    header, *rows = table(text)
    names = [cell.strip() for cell in header]
    return [dict(zip(names, (cell.strip() for cell in row), strict=True)) for row in rows]


def test_the_schemas_are_structural_and_the_names_taken(cluster: Cluster) -> None:
    for crd in cluster.read("-f", str(CRDS))["items"]:
        found = {one["type"]: one["status"] for one in crd["status"]["conditions"]}
        assert found == {"NamesAccepted": "True", "Established": "True"}


def test_an_affiliate_is_shown_with_what_people_ask_for(
    admission: Admission, cluster: Cluster
) -> None:
    manifest = admission.manifest("Affiliate", {})
    name = manifest["metadata"]["name"]
    status = {
        "conditions": [condition("Paused"), condition("Ready", "AllReady", "All is ready.")],
        "endpoint": f"https://{name}.track.example.com",
        "namespace": f"trackmate-{name}",
        "id": "made-1",
    }
    admission.made(manifest, status)

    [row] = shown(cluster.kubectl("get", "aff", name))
    [wide] = shown(cluster.kubectl("get", "affiliates", name, "-o", "wide"))

    assert row.pop("AGE")
    assert row == {
        "NAME": name,
        "READY": "True",
        "REASON": "AllReady",
        "HOST": status["endpoint"],
        "NAMESPACE": status["namespace"],
    }
    assert (
        wide.items() >= {"ID": "made-1", "DELETION": "Retain", "MESSAGE": "All is ready."}.items()
    )


def test_a_pipeline_is_shown_with_what_people_ask_for(
    admission: Admission, cluster: Cluster
) -> None:
    manifest = admission.manifest("Pipeline", STDOUT)
    name = manifest["metadata"]["name"]
    admission.made(manifest, {"conditions": [condition("Ready", "Running")], "replicas": 2})

    [row] = shown(cluster.kubectl("get", "pl", name, "-n", admission.namespace))
    [wide] = shown(cluster.kubectl("get", "pl", name, "-n", admission.namespace, "-o", "wide"))

    assert row.pop("AGE")
    expected = {"NAME": name, "READY": "True", "REASON": "Running"}
    assert row == {**expected, "STREAM": "events", "REPLICAS": "2"}
    assert wide.items() >= {"FORMAT": "json", "MESSAGE": "All is done."}.items()


def test_one_word_lists_both_kinds(admission: Admission, cluster: Cluster) -> None:
    names = [
        admission.made(admission.manifest(kind, spec))["metadata"]["name"]
        for kind, spec in (("Affiliate", {}), ("Pipeline", STDOUT))
    ]

    listed = cluster.kubectl("get", "trackmate", "-A", "-o", "name").split()

    assert f"affiliate.trackmate.io/{names[0]}" in listed
    assert f"pipeline.trackmate.io/{names[1]}" in listed


def test_the_fields_are_explained(cluster: Cluster) -> None:
    said = cluster.kubectl("explain", "affiliate.spec.streams.partitions")

    assert "How many consumers can share the stream's work." in said


def test_what_is_filled_in_is_the_parsers_default_and_nothing_of_the_platforms(
    admission: Admission,
) -> None:
    manifest = admission.manifest("Affiliate", {})

    kept = admission.made(manifest)

    assert parse(kept) == parse(manifest)
    assert kept["spec"].keys() == {"streams", "ingest", "store", "access", "deletionPolicy"}
    assert kept["spec"]["store"] == {"users": []}
    assert "status" not in kept


def test_a_pipeline_is_scaled_as_a_deployment_is(admission: Admission, cluster: Cluster) -> None:
    manifest = admission.manifest("Pipeline", STDOUT)
    name = f"pipeline/{manifest['metadata']['name']}"
    admission.made(manifest, {"replicas": 1, "selector": "trackmate.io/pipeline=x"})

    cluster.kubectl("scale", name, "--replicas=3", "-n", admission.namespace)

    scale = json.loads(
        cluster.kubectl(
            *("get", name, "-n", admission.namespace, "--subresource=scale", "-o", "json")
        )
    )
    assert scale["spec"] == {"replicas": 3}
    assert scale["status"] == {"replicas": 1, "selector": "trackmate.io/pipeline=x"}


def test_what_scales_itself_is_not_scaled_by_hand(admission: Admission, cluster: Cluster) -> None:
    manifest = admission.manifest("Pipeline", {**STDOUT, "autoscaling": {"maxReplicas": 2}})
    name = f"pipeline/{manifest['metadata']['name']}"
    admission.made(manifest)

    said = cluster.refused("scale", name, "--replicas=3", "-n", admission.namespace)

    assert "`replicas` and `autoscaling` exclude each other; remove one of them" in said


@pytest.mark.parametrize(
    ("kind", "spec", "changed"),
    [
        ("Affiliate", {}, {"deletionPolicy": "Delete"}),
        ("Pipeline", STDOUT, {"format": "text"}),
    ],
)
def test_spec_and_status_are_written_apart(
    admission: Admission, cluster: Cluster, kind: str, spec: Manifest, changed: Manifest
) -> None:
    manifest = admission.manifest(kind, spec)
    kept = admission.made(manifest, {"observedGeneration": 1})
    what = (f"{kind.lower()}/{manifest['metadata']['name']}", "-n", admission.namespace)
    patch = ("patch", *what, "--type=merge", "-p")

    cluster.kubectl(*patch, json.dumps({"spec": changed, "status": {"observedGeneration": 7}}))
    written = cluster.read(*what)
    reported = {"spec": kept["spec"], "status": {"observedGeneration": 2}}
    cluster.kubectl(*patch, json.dumps(reported), "--subresource=status")
    status_written = cluster.read(*what)

    assert written["spec"] == {**kept["spec"], **changed}
    assert written["status"] == {"observedGeneration": 1}
    assert status_written["spec"] == written["spec"]
    assert status_written["status"] == {"observedGeneration": 2}
    assert status_written["metadata"]["generation"] == written["metadata"]["generation"] == 2


SUBJECTS = [{"kind": "Group", "name": "people"}]
ENTRIES: dict[str, tuple[Any, Any]] = {
    "streams": ({"name": "one"}, {"name": "two"}),
    "ingest.keys": ({"name": "one", "use": "Server"}, {"name": "two", "use": "Server"}),
    "ingest.hosts": ("one.example", "two.example"),
    "store.users": (
        {"name": "one", "role": "Reader", "secretName": "one"},
        {"name": "two", "role": "Reader", "secretName": "two"},
    ),
    "access": (
        {"role": "Viewer", "subjects": SUBJECTS},
        {"role": "Editor", "subjects": SUBJECTS},
    ),
}


def nested(path: str, value: Any) -> Manifest:
    for name in reversed(path.split(".")):
        value = {name: value}
    return dict(value)


def names(spec: Any, path: str) -> list[str]:
    for name in path.split("."):
        spec = spec[name]
    return [one if isinstance(one, str) else one.get("name", one.get("role")) for one in spec]


@pytest.mark.parametrize("path", ENTRIES)
def test_two_managers_own_an_entry_each(admission: Admission, cluster: Cluster, path: str) -> None:
    one, two = ENTRIES[path]
    manifest = admission.manifest("Affiliate", nested(path, [one]))
    what = f"affiliate/{manifest['metadata']['name']}"
    first, second = names(nested(path, [one, two]), path)

    cluster.apply(manifest, by="git")
    cluster.apply({**manifest, "spec": nested(path, [two])}, by="team")
    assert names(cluster.read(what)["spec"], path) == [first, second]

    cluster.apply({**manifest, "spec": {}}, by="team")
    assert names(cluster.read(what)["spec"], path) == [first]


def test_two_managers_of_one_field_are_told_of_each_other(
    admission: Admission, cluster: Cluster
) -> None:
    manifest = admission.manifest("Affiliate", {"streams": [{"name": "one", "partitions": 6}]})
    cluster.apply(manifest, by="git")
    other = {**manifest, "spec": {"streams": [{"name": "one", "partitions": 12}]}}

    said = cluster.refused(
        *("apply", "--server-side", "--field-manager=team", "-f", "-"), input=json.dumps(other)
    )

    assert 'conflict with "git": .spec.streams[name="one"].partitions' in said


def test_two_managers_own_a_condition_each(admission: Admission, cluster: Cluster) -> None:
    manifest = admission.manifest("Affiliate", {})
    admission.made(manifest)
    bare = {key: value for key, value in manifest.items() if key != "spec"}

    for kind, manager in (("Ready", "operator"), ("Healthy", "watchdog")):
        said = {**bare, "status": {"conditions": [condition(kind)]}}
        cluster.kubectl(
            *("apply", "--server-side", "--subresource=status", f"--field-manager={manager}"),
            *("-f", "-"),
            input=json.dumps(said),
        )

    status = cluster.read(f"affiliate/{manifest['metadata']['name']}")["status"]
    assert [one["type"] for one in status["conditions"]] == ["Ready", "Healthy"]


def test_the_status_has_room_for_all_that_the_operator_knows(admission: Admission) -> None:
    status = {
        "observedGeneration": 1,
        "id": "made-1",
        "namespace": "trackmate-acme",
        "endpoint": "https://acme.track.example.com",
        "keySecret": "acme-keys",
        "pinned": {
            "id": "made-1",
            "namespace": "trackmate-acme",
            "isolation": "Scope",
            "host": "acme.track.example.com",
        },
        "streams": [{"name": "events", "partitions": 6, "topicId": "pTkv0RXwRlGmVtBTKwH6gQ"}],
        "retained": [{"kind": "Topic", "name": "acme.old"}, {"kind": "Bucket", "name": "acme"}],
        "conditions": [condition("Ready")],
    }
    kept = admission.made(admission.manifest("Affiliate", {}), status)
    assert kept["status"] == status

    status = {"observedGeneration": 1, "replicas": 1, "selector": "a=b"}
    kept = admission.made(admission.manifest("Pipeline", STDOUT), status)
    assert kept["status"] == status
