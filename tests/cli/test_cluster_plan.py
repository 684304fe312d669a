"""
`trackmate plan` and `trackmate doctor` on a real cluster: what is said before is what is made then,
nothing is written by saying it, and what is wrong is found with its cure.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from commanding import Person
from control_plane import ControlPlane
from kafka_broker import Cluster
from operating import Operating, operating, ready, start, topics, users, wait_for
from tenants import affiliate, pipeline
from trackmate_operator.kinds import CHILDREN
from waiting_for import wait_until
from whole_lines import whole_lines

pytestmark = [pytest.mark.needs("cluster"), pytest.mark.needs("kafka"), pytest.mark.timeout(240)]


@pytest.fixture
def operator(plane: ControlPlane, kafka: Cluster, home: Path) -> Iterator[Operating]:
    with operating(home, plane, kafka) as running:
        yield running


@pytest.fixture
def person(plane: ControlPlane, tmp_path: Path) -> Person:
    """Who may do everything, and is nobody else."""
    return Person(tmp_path, plane.user("planner", ["system:masters"]))


def written(folder: Path, *manifests: dict[str, Any]) -> str:
    """A file of them."""
    file = folder / "manifests.yaml"
    file.write_text(yaml.safe_dump_all(manifests))
    return str(file)


def namespace(name: str) -> dict[str, Any]:
    labels = {"trackmate.io/affiliate": name}
    metadata = {"name": f"trackmate-{name}", "labels": labels}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def applied(plane: ControlPlane, name: str, *manifests: dict[str, Any]) -> None:
    """Until all of it is ready."""
    plane.apply(*manifests)
    for one in manifests:
        if one["kind"] == "Pipeline":
            called = one["metadata"]["name"]
            wait_for(lambda c=called: plane.read("pipeline", c, "-n", f"trackmate-{name}"))  # type: ignore[misc]
    ready(plane, name)


def changed(found: Any, action: str, *kinds: str) -> set[tuple[str, str]]:
    return {
        (one["kind"], one["name"])
        for one in found["changes"]
        if one["action"] == action and (not kinds or one["kind"] in kinds)
    }


def test_what_is_said_to_be_made_is_made_and_then_nothing_is_left_to_say(
    plane: ControlPlane, kafka: Cluster, operator: Operating, person: Person
) -> None:
    file = written(
        person.home,
        namespace("new"),
        affiliate("new", access=[{"role": "Viewer", "subjects": [{"kind": "User", "name": "a"}]}]),
        pipeline("out", "trackmate-new"),
    )
    wait_until(lambda: bool(operator.said("leading")), "it leads")
    wait_until(lambda: person.runs("plan", "-f", file).returncode == 0, "it has published")

    said = person.reads("plan", "-f", file)

    assert said["faults"] == []
    assert {one["action"] for one in said["changes"]} == {"add"}
    assert not [name for name in topics(kafka) if name.startswith("new.")]
    assert plane.tried("get", "namespace", "trackmate-new").returncode != 0
    applied(plane, "new", *yaml.safe_load_all(Path(file).read_text()))
    assert changed(said, "add", *(kind.kind for kind in CHILDREN)) == children(plane, "new")
    made = {name for name in topics(kafka) if name.startswith("new.")}
    assert {name for _, name in changed(said, "add", "Topic")} == made
    assert {name for _, name in changed(said, "add", "KafkaUser")} <= users(kafka)
    assert person.runs("plan", "-f", file).stdout == "Nothing would change.\n"
    assert person.reads("plan", "-f", file)["changes"] == []


def children(plane: ControlPlane, name: str) -> set[tuple[str, str]]:
    """What the namespace has of the affiliate's."""
    kinds = ",".join(kind.plural for kind in CHILDREN)
    label = f"trackmate.io/affiliate={name}"
    items = plane.read(kinds, "-n", f"trackmate-{name}", "-l", label)["items"]
    return {
        (one["kind"], f"{one['metadata']['namespace']}/{one['metadata']['name']}") for one in items
    }


def test_a_change_is_said_field_by_field_without_a_secret(
    plane: ControlPlane, operator: Operating, person: Person
) -> None:
    viewer = {"role": "Viewer", "subjects": [{"kind": "User", "name": "ann"}]}
    applied(
        plane,
        "grown",
        namespace("grown"),
        affiliate("grown", access=[viewer]),
        pipeline("out", "trackmate-grown"),
    )
    header = {"name": "x-api-key", "value": "canary-1"}
    http = {"http": {"url": "https://crm.example/in?token=canary-2", "headers": [header]}}
    file = written(
        person.home,
        affiliate(
            "grown",
            streams=[{"name": "events", "partitions": 12}, {"name": "images"}],
            ingest={"keys": [{"name": "web", "use": "Browser"}, {"name": "app", "use": "Server"}]},
        ),
        pipeline("out", "trackmate-grown", sink=http),
    )

    done = person.runs("plan", "-f", file)
    found = person.reads("plan", "-f", file)

    assert "canary" not in done.stdout + json.dumps(found)
    assert "tmw_" not in done.stdout + json.dumps(found)
    fields = {
        (one["kind"], one["name"]): {field["path"]: field for field in one["fields"]}
        for one in found["changes"]
    }
    assert fields["Affiliate", "grown"]["spec.streams[events].partitions"]["after"] == 12
    assert fields["Topic", "grown.events"]["partitions"] == {
        "path": "partitions",
        "before": 6,
        "after": 12,
    }
    assert fields["Secret", "trackmate-grown/grown-keys"].keys() == {
        "data.book.json",
        "data.keys.json",
    }
    settings = fields["ConfigMap", "trackmate-grown/trackmate-ingest"]
    assert settings["data.settings.yaml.spec.streams[events].partitions"]["after"] == 12
    assert changed(found, "add", "Topic") == {("Topic", "grown.images")}
    assert changed(found, "remove") == {
        ("Role", "trackmate-grown/trackmate-viewer"),
        ("RoleBinding", "trackmate-grown/trackmate-viewer"),
    }
    rights = fields["KafkaUser", "grown-ingest"]["rights"]["after"]
    assert "Topic grown.images: Write, Describe, DescribeConfigs" in rights


def test_all_faults_are_said_at_once_those_of_the_api_server_too(
    plane: ControlPlane, operator: Operating, person: Person
) -> None:
    applied(plane, "faulty", affiliate("faulty"))
    plane.kubectl("create", "namespace", "trackmate-taken")
    file = written(
        person.home,
        affiliate("faulty", streams=[{"name": "events", "partitions": 2}]),
        affiliate("thief", ingest={"hosts": ["faulty.track.example.com"]}),
        affiliate("taken"),
        affiliate("typo", stream=[]),
        pipeline("lost", "trackmate-faulty", stream="nowhere", filter="event.type =="),
    )

    found = json.loads(person.runs("plan", "-f", file, "--json").stdout)

    said = [f"{fault['path']}: {fault['message']}" for fault in found["faults"]]
    assert len(said) == 6, said
    for words in (
        "partitions can be added and not removed",
        "The host 'faulty.track.example.com' belongs to affiliate 'faulty'",
        "label it trackmate.io/affiliate=taken to hand it over",
        "unknown field 'stream'; did you mean 'streams'?",
        "has no stream 'nowhere'",
        "spec.filter: line 1, column 14: Syntax error",
    ):
        assert any(words in one for one in said), (words, said)
    assert all(fault["line"] for fault in found["faults"])
    assert person.runs("plan", "-f", file).returncode == 2


def test_a_plan_writes_nothing(plane: ControlPlane, person: Person) -> None:
    """By what the API server saw of this person, in all the tests before."""
    lines = [json.loads(line) for line in whole_lines(plane.home / "audit.log").splitlines()]
    asked = [line for line in lines if line["user"]["username"] == "planner"]
    writes = [line for line in asked if line["verb"] not in {"get", "list", "watch"}]
    assert len(writes) > 10
    assert all("dryRun=All" in line["requestURI"] for line in writes)
    resources = {line["objectRef"]["resource"] for line in writes}
    assert resources >= {"affiliates", "pipelines", "namespaces", "configmaps"}
    assert "secrets" not in resources


def test_the_doctor_finds_nothing_wrong_and_then_what_is_missing(
    plane: ControlPlane, operator: Operating, person: Person
) -> None:
    applied(plane, "healthy", affiliate("healthy"))
    for name in ("faulty", "grown", "new"):
        ready(plane, name)
    good = person.runs("doctor")
    assert good.returncode == 0, good.stdout
    assert "FAIL" not in good.stdout

    reference = {"secretKeyRef": {"name": "mine", "key": "value"}}
    keys = [{"name": "own", "use": "Server", "valueFrom": reference}]
    plane.apply(affiliate("healthy", ingest={"keys": keys}))
    wait_for(lambda: plane.read("affiliate", "healthy"), status="False", reason="SecretMissing")

    done = person.runs("doctor", "--json")

    assert done.returncode == 1
    [bad] = [check for check in json.loads(done.stdout) if not check["passed"]]
    assert bad["check"] == "Affiliate healthy"
    assert "Secret 'mine' in namespace trackmate-healthy" in bad["detail"]
    assert bad["detail"].endswith("make it.")
    plane.kubectl("delete", "affiliate", "healthy")


def test_the_doctor_finds_an_operator_that_hangs_or_was_stopped(
    plane: ControlPlane, kafka: Cluster, home: Path, person: Person
) -> None:
    running = start(home, plane, kafka)
    try:
        wait_until(lambda: bool(running.said("leading")), "it leads", seconds=60)
        assert not failed(person, "Operator")
        running.kill()
        [detail] = failed(person, "Operator")
        assert "no longer renews it: it ended or hangs" in detail
    finally:
        running.process.kill()
        running.process.wait()
    told = person.is_told("keys", "rotate", "grown", "web", code=1)
    assert "no operator has made the keys of it, so that the old ones still work" in told

    with operating(home, plane, kafka) as again:
        wait_until(lambda: bool(again.said("leading")), "it leads", seconds=60)
    [detail] = failed(person, "Operator")
    assert detail.startswith("none works: nobody holds Lease 'trackmate-operator'")


def failed(person: Person, check: str) -> list[str]:
    done = person.runs("doctor", "--json")
    return [
        one["detail"]
        for one in json.loads(done.stdout)
        if one["check"] == check and not one["passed"]
    ]


def test_the_doctor_and_status_name_what_a_cluster_without_trackmate_lacks(
    plane: ControlPlane, person: Person
) -> None:
    plane.kubectl("delete", "crd", "pipelines.trackmate.io")
    found = json.loads(person.runs("doctor", "--json").stdout)
    [bad] = [one for one in found if one["check"] == "Definition of pipelines"]
    assert not bad["passed"]
    assert "install it: kubectl apply --server-side -f crds/" in bad["detail"]
    plane.install_crds()
    newer = {"op": "remove", "path": "/spec/versions/0/additionalPrinterColumns/0"}
    plane.kubectl(
        *("patch", "crd", "pipelines.trackmate.io", "--type=json", "-p", json.dumps([newer]))
    )
    found = json.loads(person.runs("doctor", "--json").stdout)
    [bad] = [one for one in found if one["check"] == "Definition of pipelines"]
    assert "is not as this command knows it" in bad["detail"]


def test_the_faults_of_a_file_are_said_though_no_operator_works_here(
    plane: ControlPlane, person: Person
) -> None:
    plane.kubectl(
        *("delete", "configmap", "-A", "-l", "trackmate.io/platform", "--ignore-not-found")
    )
    bad = written(person.home, affiliate("faulty", deletionPolicy="Never"))
    done = person.runs("plan", "-f", bad)
    assert done.returncode == 2
    assert "deletionPolicy" in done.stderr + done.stdout
    assert "No operator works on this cluster" in done.stderr + done.stdout
    good = written(person.home, affiliate("faultless"))
    done = person.runs("plan", "-f", good)
    assert done.returncode == 2
    assert "No operator works on this cluster" in done.stderr
