"""
The operator while something else is broken: the API server, Kafka, itself, or somebody who fights
it. It converges, deletes nothing by mistake, and says what is in the way.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from control_plane import ControlPlane
from kafka_broker import ADMIN, PASSWORD, Cluster
from mounting import files, keys
from operating import (
    SYSTEM,
    Operating,
    blocked,
    condition,
    operating,
    ready,
    start,
    users,
    wait_for,
)
from tenants import affiliate, pipeline
from waiting_for import wait_until

pytestmark = [pytest.mark.needs("cluster"), pytest.mark.needs("kafka"), pytest.mark.timeout(300)]


@pytest.fixture
def operator(plane: ControlPlane, kafka: Cluster, home: Path) -> Iterator[Operating]:
    with operating(home, plane, kafka) as running:
        yield running


def applied(plane: ControlPlane, name: str, **spec: Any) -> Any:
    plane.apply(affiliate(name, **spec))
    return ready(plane, name)


def everything(plane: ControlPlane, name: str) -> set[str]:
    kinds = "secret,configmap,networkpolicy,resourcequota,limitrange"
    found = plane.read(kinds, "-n", f"trackmate-{name}")["items"]
    return {f"{one['kind']} {one['metadata']['name']}" for one in found}


@pytest.mark.parametrize("fault", ["stopped", "frozen"])
def test_an_api_server_that_is_away_is_waited_for_and_nothing_is_deleted(
    plane: ControlPlane, kafka: Cluster, operator: Operating, home: Path, fault: str
) -> None:

    def revived() -> bool:
        """As its Deployment starts another, where one could not renew its Lease and ended."""
        if operator.process.poll() is not None:
            operator.become(start(home, plane, kafka))
        return True

    name = f"through-{fault}"
    applied(plane, name)
    plane.apply(pipeline("out", f"trackmate-{name}"))
    wait_for(lambda: plane.read("pipeline", "out", "-n", f"trackmate-{name}"))
    before, logins = everything(plane, name), users(kafka)

    break_it, mend_it = {
        "stopped": (plane.stop_apiserver, plane.start_apiserver),
        "frozen": (plane.freeze, plane.thaw),
    }[fault]
    break_it()
    wait_until(lambda: operator.said("lease"), "the fault is felt", seconds=60)
    mend_it()

    plane.kubectl("delete", "configmap", "trackmate-ingest", "-n", f"trackmate-{name}")
    wait_until(lambda: revived() and everything(plane, name) == before, "it is back", seconds=90)
    assert users(kafka) == logins


def test_kafka_that_is_away_is_said_and_all_else_goes_on(
    plane: ControlPlane, kafka: Cluster, operator: Operating
) -> None:
    applied(plane, "dry")
    before = keys(plane, "dry")
    [broker] = kafka.brokers
    broker.kill()
    plane.kubectl("delete", "networkpolicy", "trackmate-deny", "-n", "trackmate-dry")
    plane.kubectl("delete", "secret", "dry-keys", "-n", "trackmate-dry")
    plane.apply(affiliate("parched"))

    message = blocked(plane, "dry", "KafkaDown", status="Unknown")
    assert "cannot be reached" in message or "answer" in message
    wait_until(lambda: _there(plane, "networkpolicy", "trackmate-deny", "dry"), "it is mended")
    wait_for(lambda: plane.read("affiliate", "parched"), about="NamespaceReady")

    broker.start()
    kafka.wait()
    wait_until(lambda: operator.said("Kafka is back"), "its return is seen", seconds=40)
    ready(plane, "dry")
    ready(plane, "parched")
    assert keys(plane, "dry") == before


def test_an_operator_that_starts_while_kafka_is_away_says_so_and_goes_on_when_it_is_back(
    plane: ControlPlane, kafka: Cluster, home: Path
) -> None:
    [broker] = kafka.brokers
    broker.kill()
    with operating(home, plane, kafka) as operator:
        plane.apply(affiliate("early"))
        message = blocked(plane, "early", "KafkaDown", status="Unknown")
        assert "cannot be reached" in message
        assert operator.said("waits for Kafka")
        wait_until(lambda: _there(plane, "networkpolicy", "trackmate-deny", "early"), "it is made")
        broker.start()
        kafka.wait()
        ready(plane, "early")


def test_a_password_of_its_own_is_taken_from_its_file_as_it_changes(
    plane: ControlPlane, kafka: Cluster, home: Path
) -> None:
    file = home / "own-password"
    file.write_text("wrong")
    login = {"username": ADMIN, "passwordFile": str(file)}
    own = {"bootstrapServers": kafka.bootstrap, "sasl": login}
    with operating(home, plane, kafka, kafka=own) as operator:
        plane.apply(affiliate("locked"))
        message = blocked(plane, "locked", "KafkaDown", status="Unknown")
        assert "password" in message
        file.unlink()
        wait_until(lambda: operator.said("stays with its login to Kafka"), "it is said")
        file.write_text(PASSWORD)
        ready(plane, "locked")


def test_an_affiliate_that_is_deleted_while_kafka_is_away_says_how_to_leave_it_behind(
    plane: ControlPlane, kafka: Cluster, operator: Operating
) -> None:
    applied(plane, "stuck")
    [broker] = kafka.brokers
    broker.kill()
    plane.kubectl("delete", "affiliate", "stuck", "--wait=false")

    found = wait_for(lambda: plane.read("affiliate", "stuck"), about="Deleting", reason="KafkaDown")
    assert (
        "annotate the Affiliate trackmate.io/skip-cleanup=kafka" in condition(found, "Deleting")[2]
    )

    plane.kubectl("annotate", "affiliate", "stuck", "trackmate.io/skip-cleanup=kafka")
    plane.kubectl("wait", "--for=delete", "affiliate/stuck", "--timeout=60s")
    broker.start()
    kafka.wait()


def test_an_affiliate_that_is_deleted_goes_after_a_while_though_kafka_never_answers(
    plane: ControlPlane, kafka: Cluster, home: Path
) -> None:
    [broker] = kafka.brokers
    with operating(home, plane, kafka, giveUpDeleting="10s"):
        applied(plane, "forsaken")
        broker.kill()
        plane.kubectl("delete", "affiliate", "forsaken", "--timeout=90s")
        record = files(plane, "configmap", "retained-forsaken", SYSTEM)["retained.json"]
        assert json.loads(record)["kafka"] == "left as it is"
        broker.start()
        kafka.wait()


def test_of_two_operators_one_works_and_the_other_takes_over(
    plane: ControlPlane, kafka: Cluster, home: Path, tmp_path: Path
) -> None:
    first = start(home, plane, kafka)
    wait_until(lambda: first.said("leading"), "the first leads", seconds=40)
    (tmp_path / "root").write_text((home / "root").read_text())
    second = start(tmp_path, plane, kafka)
    try:
        applied(plane, "led")
        assert not second.said("changed")
        first.kill()
        applied(plane, "led-on")
        assert second.said("leading")
    finally:
        second.stop()
        if first.process.poll() is None:
            first.kill()


def test_one_that_stops_lets_the_other_begin_at_once(
    plane: ControlPlane, kafka: Cluster, home: Path, tmp_path: Path
) -> None:
    first = start(home, plane, kafka)
    wait_until(lambda: first.said("leading"), "the first leads", seconds=40)
    assert first.stop() == 0
    holder = plane.read("lease", "trackmate-operator", "-n", SYSTEM)["spec"]["holderIdentity"]
    assert holder == ""


def test_whoever_fights_is_named_and_not_fought(plane: ControlPlane, operator: Operating) -> None:
    """A GitOps loop that applies an object of ours as it was, again and again."""
    applied(plane, "fought")
    where = ("-n", "trackmate-fought")
    patch = json.dumps({"spec": {"hard": {"pods": "7"}}})
    mended = len(operator.said("mended"))

    def fight() -> bool:
        plane.kubectl(
            *("patch", "resourcequota", "trackmate", *where, "--type=merge", "-p", patch),
            "--field-manager=old-app",
        )
        found = plane.read("affiliate", "fought")
        return condition(found, "Drifted")[1] == "ChangedAgain"

    wait_until(fight, "it is said", seconds=40)
    found = plane.read("affiliate", "fought")
    assert (
        "was changed again by 'old-app'; it is mended once a minute"
        in (condition(found, "Drifted")[2])
    )
    assert len(operator.said("mended")) == mended + 1


@pytest.mark.timeout(400)
def test_a_kill_leaves_nothing_half_made_and_nobody_behind(
    plane: ControlPlane, kafka: Cluster, home: Path
) -> None:
    """
    kill -9 of the process while an affiliate is made and while one is deleted. The moments between
    any two steps are gone through in test_operator_crashes.py.
    """
    running = start(home, plane, kafka)
    try:
        wait_until(lambda: running.said("leading"), "it leads", seconds=40)
        plane.apply(affiliate("killed"))
        wait_until(lambda: _is_there(plane, "killed"), "it is being made")
        running.kill()
        running = start(home, plane, kafka)
        ready(plane, "killed")
        plane.kubectl("delete", "affiliate", "killed", "--wait=false")
        running.kill()
        running = start(home, plane, kafka)
        plane.kubectl("wait", "--for=delete", "affiliate/killed", "--timeout=90s")
        assert not [user for user in users(kafka) if user.startswith("killed")]
    finally:
        if running.process.poll() is None:
            running.kill()


def _there(plane: ControlPlane, kind: str, name: str, affiliate_name: str) -> bool:
    return plane.tried("get", kind, name, "-n", f"trackmate-{affiliate_name}").returncode == 0


def _is_there(plane: ControlPlane, name: str) -> bool:
    return plane.tried("get", "namespace", f"trackmate-{name}").returncode == 0
