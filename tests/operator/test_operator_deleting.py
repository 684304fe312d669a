"""
Deleting an affiliate: nothing that it stored is lost unless somebody confirmed it, nobody can log
in any more, and the same YAML brings all of it back.
"""

import json
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from control_plane import ControlPlane
from kafka_broker import Cluster
from mounting import files, keys
from operating import (
    SYSTEM,
    Operating,
    blocked,
    condition,
    operating,
    ready,
    start,
    store,
    stored,
    topics,
    users,
    wait_for,
)
from tenants import affiliate, pipeline
from trackmate_contract.keybook import from_document, revoke, rotate, to_document
from waiting_for import wait_until

pytestmark = [pytest.mark.needs("cluster"), pytest.mark.needs("kafka"), pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def operator(plane: ControlPlane, kafka: Cluster, home: Path) -> Iterator[Operating]:
    with operating(home, plane, kafka) as running:
        yield running


def applied(plane: ControlPlane, name: str, **spec: Any) -> Any:
    plane.apply(affiliate(name, **spec))
    return ready(plane, name)


def delete(plane: ControlPlane, name: str, how: str = "background") -> None:
    plane.kubectl("delete", "affiliate", name, f"--cascade={how}", "--timeout=60s")


@pytest.mark.parametrize("how", ["background", "foreground", "orphan"])
def test_a_deleted_affiliate_loses_no_data_and_its_yaml_brings_it_back(
    plane: ControlPlane, kafka: Cluster, operator: Operating, how: str
) -> None:
    """foreground is what Argo CD does when it prunes."""
    name = f"kept-{how}"
    applied(plane, name, id="af-1")
    plane.apply(pipeline("out", f"trackmate-{name}"))
    wait_for(lambda: plane.read("pipeline", "out", "-n", f"trackmate-{name}"))
    store(kafka, f"{name}.events")
    before = keys(plane, name)

    delete(plane, name, how)

    assert not [user for user in users(kafka) if user.startswith(name)], "nobody logs in any more"
    assert stored(kafka, f"{name}.events") == 1
    plane.kubectl("get", "pipeline", "out", "-n", f"trackmate-{name}")
    left = {one["metadata"]["name"] for one in _secrets(plane, name)}
    assert left == {f"{name}-keys"}
    record = files(plane, "configmap", f"retained-{name}", SYSTEM)["retained.json"]
    assert json.loads(record)["topics"] == [f"{name}.events", f"{name}.out.dead"]

    applied(plane, name, id="af-1")
    assert keys(plane, name) == before
    assert stored(kafka, f"{name}.events") == 1
    wait_until(lambda: f"{name}.out" in users(kafka), "the pipeline's user is back")


def _secrets(plane: ControlPlane, name: str) -> list[Any]:
    found: list[Any] = plane.read("secret", "-n", f"trackmate-{name}")["items"]
    return found


def left_by(plane: ControlPlane, kafka: Cluster, name: str, affiliate_id: str) -> None:
    """An affiliate of this id had the name, and left an event under it."""
    applied(plane, name, id=affiliate_id)
    store(kafka, f"{name}.events")
    delete(plane, name)


def test_another_id_is_refused_and_told_which_to_set(
    plane: ControlPlane, kafka: Cluster, operator: Operating
) -> None:
    left_by(plane, kafka, "reused", "af-old")
    plane.apply(affiliate("reused", id="af-new"))

    before = _namespace(plane, "reused")
    message = blocked(plane, "reused", "NameConflict")
    assert _namespace(plane, "reused") == before, "what is another's is not touched"

    assert message == (
        "The data under the name 'reused' belongs to the id 'af-old', not to 'af-new'; make the "
        "Affiliate with spec.id: af-old to take it over, or choose another name."
    )
    assert not [user for user in users(kafka) if user.startswith("reused")]
    delete(plane, "reused")
    assert stored(kafka, "reused.events") == 1, "whoever had the name in vain takes nothing along"
    applied(plane, "reused", id="af-old")


def _namespace(plane: ControlPlane, name: str) -> str:
    found = plane.read("namespace", f"trackmate-{name}")
    return str(found["metadata"]["resourceVersion"])


def test_who_was_refused_the_name_takes_nothing_along_though_that_was_confirmed(
    plane: ControlPlane, kafka: Cluster, operator: Operating
) -> None:
    left_by(plane, kafka, "wanted", "af-old")
    record = files(plane, "configmap", "retained-wanted", SYSTEM)
    plane.apply(affiliate("wanted", id="af-new", deletionPolicy="Delete"))
    blocked(plane, "wanted", "NameConflict")

    confirm(plane, "wanted")
    delete(plane, "wanted")

    assert "deletionTimestamp" not in plane.read("namespace", "trackmate-wanted")["metadata"]
    assert files(plane, "configmap", "retained-wanted", SYSTEM) == record
    assert stored(kafka, "wanted.events") == 1
    applied(plane, "wanted", id="af-old")


@pytest.mark.parametrize("policy", ["Delete", "Retain"])
def test_who_was_refused_a_namespace_takes_nothing_along_though_that_was_confirmed(
    plane: ControlPlane, operator: Operating, policy: str
) -> None:
    host, intruder = f"host-{policy.lower()}", f"intruder-{policy.lower()}"
    applied(plane, host)
    before = keys(plane, host)
    plane.apply(affiliate(intruder, namespace=f"trackmate-{host}", deletionPolicy=policy))
    blocked(plane, intruder, "NamespaceConflict")

    confirm(plane, intruder)
    delete(plane, intruder)

    assert "deletionTimestamp" not in plane.read("namespace", f"trackmate-{host}")["metadata"]
    assert keys(plane, host) == before
    assert plane.tried("get", "configmap", f"retained-{intruder}", "-n", SYSTEM).returncode != 0


def confirm(plane: ControlPlane, name: str) -> None:
    plane.kubectl("annotate", "affiliate", name, f"trackmate.io/confirm-delete={name}")


def test_without_an_id_in_the_yaml_the_message_names_the_one_that_was_made(
    plane: ControlPlane, operator: Operating
) -> None:
    made = applied(plane, "unnamed")["status"]["id"]
    before = keys(plane, "unnamed")
    delete(plane, "unnamed")
    plane.apply(affiliate("unnamed"))
    assert f"spec.id: {made} to take it over" in blocked(plane, "unnamed", "NameConflict")
    delete(plane, "unnamed")
    applied(plane, "unnamed", id=made)
    assert keys(plane, "unnamed") == before


def test_data_is_removed_only_when_it_was_confirmed(
    plane: ControlPlane, kafka: Cluster, operator: Operating
) -> None:
    applied(plane, "removed", deletionPolicy="Delete")
    store(kafka, "removed.events")
    plane.kubectl("delete", "affiliate", "removed", "--wait=false")

    found = wait_for(
        lambda: plane.read("affiliate", "removed"), about="Deleting", reason="NotConfirmed"
    )

    assert (
        "annotate the Affiliate trackmate.io/confirm-delete=removed"
        in (condition(found, "Deleting")[2])
    )
    assert stored(kafka, "removed.events") == 1
    confirm(plane, "removed")
    plane.kubectl("wait", "--for=delete", "affiliate/removed", "--timeout=60s")
    assert "removed.events" not in topics(kafka)
    wait_until(
        lambda: plane.tried("get", "namespace", "trackmate-removed").returncode != 0,
        "the namespace that was made here goes too",
        seconds=60,
    )
    applied(plane, "removed", id="another")


def test_a_namespace_that_was_handed_over_stays_as_it_was_before(
    plane: ControlPlane, operator: Operating
) -> None:
    labels = {"trackmate.io/affiliate": "guest"}
    metadata = {"name": "trackmate-guest", "labels": labels}
    plane.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    applied(plane, "guest", deletionPolicy="Delete")
    confirm(plane, "guest")
    delete(plane, "guest")
    found = plane.read("namespace", "trackmate-guest")
    assert "deletionTimestamp" not in found["metadata"]
    ours = "networkpolicy,resourcequota,limitrange,secret,role,rolebinding"
    assert plane.read(ours, "-n", "trackmate-guest")["items"] == []


def test_a_namespace_that_somebody_deletes_is_made_anew_with_the_same_keys(
    plane: ControlPlane, kafka: Cluster, operator: Operating
) -> None:
    applied(plane, "emptied", id="af-7")
    store(kafka, "emptied.events")
    before = keys(plane, "emptied")

    plane.kubectl("delete", "namespace", "trackmate-emptied", "--timeout=60s")

    wait_until(
        lambda: (
            plane.tried("get", "secret", "emptied-keys", "-n", "trackmate-emptied").returncode == 0
        ),
        "it is made anew",
        seconds=60,
    )
    ready(plane, "emptied")
    assert keys(plane, "emptied") == before
    assert stored(kafka, "emptied.events") == 1


def test_a_finalizer_that_was_removed_by_hand_lets_no_data_go(
    plane: ControlPlane, kafka: Cluster, operator: Operating
) -> None:
    applied(plane, "forced", id="af-8")
    store(kafka, "forced.events")
    before = keys(plane, "forced")
    plane.kubectl("delete", "affiliate", "forced", "--wait=false")
    plane.tried(
        *("patch", "affiliate", "forced", "--type=merge"),
        *("-p", '{"metadata":{"finalizers":null}}'),
    )
    plane.kubectl("wait", "--for=delete", "affiliate/forced", "--timeout=60s")
    assert stored(kafka, "forced.events") == 1
    applied(plane, "forced", id="af-8")
    assert keys(plane, "forced") == before


def test_an_affiliate_that_is_created_and_deleted_at_once_leaves_nobody_behind(
    plane: ControlPlane, kafka: Cluster, operator: Operating
) -> None:
    plane.apply(affiliate("brief", id="af-9"))
    delete(plane, "brief")
    assert not [user for user in users(kafka) if user.startswith("brief")]


def test_a_rotated_and_revoked_key_stays_so_when_its_secret_is_gone(
    plane: ControlPlane, kafka: Cluster, operator: Operating, home: Path
) -> None:
    """As `trackmate keys rotate` and `revoke` write it: into the Secret's book."""
    spec = {"keys": [{"name": "web", "use": "Browser"}, {"name": "app", "use": "Browser"}]}
    applied(plane, "turned", ingest=spec)
    first = keys(plane, "turned")
    book = from_document(
        json.loads(files(plane, "secret", "turned-keys", "trackmate-turned")["book.json"])
    )
    book = rotate(revoke(book, "app", now_ms=1), "web", now_ms=2, grace_ms=10**9)
    encoded = b64encode(json.dumps(to_document(book)).encode()).decode()
    plane.kubectl(
        *("patch", "secret", "turned-keys", "-n", "trackmate-turned", "--type=merge"),
        *("-p", json.dumps({"data": {"book.json": encoded}})),
    )
    wait_until(lambda: list(keys(plane, "turned")) == ["web"], "the other key is gone")
    rotated = keys(plane, "turned")
    assert rotated["web"] != first["web"]

    operator.kill()
    plane.kubectl("delete", "secret", "turned-keys", "-n", "trackmate-turned")
    operator.become(start(home, plane, kafka))

    wait_until(
        lambda: (
            plane.tried("get", "secret", "turned-keys", "-n", "trackmate-turned").returncode == 0
        ),
        "it is made anew",
        seconds=60,
    )
    assert keys(plane, "turned") == rotated


@pytest.mark.timeout(400)
def test_crds_that_are_deleted_take_no_data_along(
    plane: ControlPlane, kafka: Cluster, operator: Operating, home: Path
) -> None:
    """
    The last test of this module: the operator ends with what it watches, as it would see nothing
    more, and the kubelet begins it anew.
    """
    applied(plane, "survivor", id="af-10")
    store(kafka, "survivor.events")
    before = keys(plane, "survivor")
    plane.kubectl("delete", "crd", "affiliates.trackmate.io", "--timeout=120s")
    assert stored(kafka, "survivor.events") == 1
    assert not [user for user in users(kafka) if user.startswith("survivor")]
    assert operator.process.wait(timeout=60) == 1
    assert operator.said("ended")[-1]["fault"] == "The CRD affiliates.trackmate.io was deleted."
    plane.install_crds()
    operator.become(start(home, plane, kafka))
    applied(plane, "survivor", id="af-10")
    assert keys(plane, "survivor") == before
