"""
The `trackmate` command on a real cluster with a real operator: the words and the JSON of the
embedded mode, and nothing that a spec says is ever written.
"""

import json
import os
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from cluster_binaries import binaries
from cluster_certificates import kubeconfig
from commanding import TRACKMATE, Person
from control_plane import ControlPlane
from kafka_broker import Cluster
from mounting import files
from operating import Operating, operating, ready, wait_for
from running import Dev
from tenants import affiliate, pipeline
from trackmate.cluster import keys
from trackmate.cluster.connecting import connected
from trackmate.errors import Declined
from trackmate_operator.apply import apply
from trackmate_operator.cluster import Cluster as ApiServer
from trackmate_operator.kinds import ref
from waiting_for import wait_until

pytestmark = [pytest.mark.needs("cluster"), pytest.mark.needs("kafka"), pytest.mark.timeout(240)]

CONTEXT = ("--context", "trackmate")
MOMENT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


@pytest.fixture(scope="module")
def operator(
    plane: ControlPlane, kafka: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Operating]:
    with operating(tmp_path_factory.mktemp("operator"), plane, kafka) as running:
        yield running


@pytest.fixture
def person(plane: ControlPlane, operator: Operating, tmp_path: Path) -> Person:
    """Who may do everything."""
    return Person(tmp_path, plane.kubeconfig)


def made(plane: ControlPlane, name: str, **spec: Any) -> None:
    """An affiliate with the pipeline `to-crm`, both ready."""
    plane.apply(affiliate(name, **spec))
    ready(plane, name)
    plane.apply(pipeline("to-crm", f"trackmate-{name}"))
    wait_for(lambda: plane.read("pipeline", "to-crm", "-n", f"trackmate-{name}"))


def issued(plane: ControlPlane, name: str) -> list[dict[str, Any]]:
    """As ingest reads them."""
    held = files(plane, "secret", f"{name}-keys", f"trackmate-{name}")
    found: list[dict[str, Any]] = json.loads(held["keys.json"])
    return found


def test_status_shows_each_affiliate_and_of_one_all_that_is_said(
    plane: ControlPlane, person: Person
) -> None:
    made(plane, "shown")
    plane.apply(pipeline("odd", "trackmate-shown", stream="nowhere"))
    wait_for(lambda: plane.read("pipeline", "odd", "-n", "trackmate-shown"), status="False")

    everyone, one = person.runs("status"), person.runs("status", "shown")

    [line] = [line for line in everyone.stdout.splitlines() if line.startswith("shown ")]
    assert line.split() == ["shown", "True", "Ready", "shown.track.example.com", "trackmate-shown"]
    assert "shown/odd: spec.stream: 'nowhere' is not a stream" in everyone.stdout
    assert "https://shown.track.example.com" in one.stdout
    assert "Secret shown-keys" in one.stdout
    rows = [line.split()[:4] for line in one.stdout.splitlines()]
    assert ["shown", "TopicsReady", "True", "TopicsReady"] in rows
    assert ["shown/to-crm", "Ready", "True", "Ready"] in rows
    assert ["shown/odd", "Accepted", "False", "Invalid"] in rows


def test_json_has_the_form_of_the_embedded_mode(
    plane: ControlPlane, person: Person, start_dev: Callable[..., Dev]
) -> None:
    made(plane, "formed")
    dev = start_dev()

    here, there = dev.read("status", "acme"), person.runs("status", "formed", *CONTEXT, "--json")

    found = json.loads(there.stdout)
    assert found.keys() == here.keys()
    [mine], [theirs] = here["affiliates"], found["affiliates"]
    assert theirs.keys() >= mine.keys()
    assert theirs["ledger"].keys() == mine["ledger"].keys()
    [pipeline_there] = theirs["ledger"]["pipelines"]
    assert pipeline_there.keys() == mine["ledger"]["pipelines"][0].keys()
    assert (pipeline_there["name"], pipeline_there["ready"]) == ("to-crm", True)
    keys_there = json.loads(person.runs("keys", "list", "formed", *CONTEXT, "--json").stdout)
    keys_here = dev.read("keys", "list", "acme")
    assert keys_there[0].keys() == keys_here[0].keys()
    assert re.fullmatch(MOMENT, keys_there[0]["created"])
    assert re.fullmatch(MOMENT, keys_here[0]["created"])


def test_it_says_first_who_answers_and_a_context_is_stronger_than_the_folder(
    plane: ControlPlane, person: Person, start_dev: Callable[..., Dev]
) -> None:
    made(plane, "said")
    alone = person.runs("status", "--json")
    assert alone.stderr.splitlines() == [f"The cluster of context 'trackmate' at {plane.url}"]

    dev = start_dev()  # in the same folder

    assert person.runs("status").stderr == f"The embedded instance at {dev.url}\n"
    assert person.runs("status", *CONTEXT).stderr.startswith("The cluster of context 'trackmate'")


def test_a_key_is_rotated_and_revoked_where_ingest_reads_it_and_the_spec_stays(
    plane: ControlPlane, person: Person
) -> None:
    made(plane, "rotating")
    before = plane.read("affiliate", "rotating")["metadata"]["generation"]
    [first] = issued(plane, "rotating")

    rotated = person.reads("keys", "rotate", "rotating", "web", "--grace", "1h")

    old, new = issued(plane, "rotating")
    assert rotated == [old, new]
    assert old["key"] == first["key"] != new["key"]
    assert (old["expires"] is None, new["expires"]) == (False, None)

    person.reads("keys", "create", "rotating", "server", "--expires", "2030-01-31T00:00:00Z")
    assert [one["name"] for one in issued(plane, "rotating")] == ["server", "web", "web"]
    person.reads("keys", "revoke", "rotating", "web", *CONTEXT)

    [left] = issued(plane, "rotating")
    assert (left["name"], left["expires"]) == ("server", "2030-01-31T00:00:00.000Z")
    assert plane.read("affiliate", "rotating")["metadata"]["generation"] == before
    ready(plane, "rotating")
    conditions = plane.read("affiliate", "rotating")["status"]["conditions"]
    assert {"AsPlanned"} == {one["reason"] for one in conditions if one["type"] == "Drifted"}


def test_what_ends_a_key_at_once_needs_the_name_of_the_cluster(
    plane: ControlPlane, person: Person
) -> None:
    made(plane, "careful")

    revoked = person.is_told("keys", "revoke", "careful", "web")
    rotated = person.is_told("keys", "rotate", "careful", "web", "--grace", "0s")

    assert revoked.endswith("Say on which cluster: --context trackmate")
    assert rotated.endswith("Say on which cluster: --context trackmate")
    assert [one["expires"] for one in issued(plane, "careful")] == [None]


def test_a_key_of_a_secret_is_not_rotated_here(plane: ControlPlane, person: Person) -> None:
    reference = {"secretKeyRef": {"name": "mine", "key": "value"}}
    own = {"name": "own", "use": "Server", "valueFrom": reference}
    plane.apply(affiliate("given", ingest={"keys": [own]}))
    wait_until(
        lambda: plane.tried("get", "secret", "given-keys", "-n", "trackmate-given").returncode == 0,
        "the keys are there",
    )

    told = person.is_told("keys", "rotate", "given", "own")

    assert told == "The value of 'own' comes from a Secret. Change it there."


def test_faulty_keys_are_refused_as_in_the_embedded_mode(
    plane: ControlPlane, person: Person
) -> None:
    made(plane, "refusing")
    assert "No key 'nope'" in person.is_told("keys", "rotate", "refusing", "nope")
    assert "exists already" in person.is_told("keys", "create", "refusing", "web")
    assert "'Bad!' is not a name" in person.is_told("keys", "create", "refusing", "Bad!")
    server = ("keys", "create", "refusing", "of-server", "--origin", "https://a.example")
    assert "A server key has no origins" in person.is_told(*server)
    assert "duration" in person.is_told("keys", "rotate", "refusing", "web", "--grace", "soon")


class Interrupted:
    """A cluster where somebody does something just before the first write."""

    def __init__(self, cluster: ApiServer, something: Callable[[], object]) -> None:
        self._cluster = cluster
        self._waiting = [something]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cluster, name)

    async def patch(self, *arguments: Any) -> Any:
        while self._waiting:
            self._waiting.pop()()
        return await self._cluster.patch(*arguments)


def test_people_who_change_keys_at_the_same_moment_lose_nothing(
    plane: ControlPlane, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(plane, "crowded")
    monkeypatch.setenv("KUBECONFIG", str(plane.kubeconfig))
    other = partial(person.reads, "keys", "create", "crowded", "theirs")

    with connected(None) as there:
        mine = {"name": "mine", "use": "Server"}
        cluster = cast(ApiServer, Interrupted(there.cluster, other))
        there.run(keys.create(cluster, "crowded", mine))

    assert [one["name"] for one in issued(plane, "crowded")] == ["mine", "theirs", "web"]


def test_a_look_that_began_before_a_key_was_revoked_does_not_put_it_back(
    plane: ControlPlane, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(plane, "late")
    monkeypatch.setenv("KUBECONFIG", str(plane.kubeconfig))
    secret = plane.read("secret", "late-keys", "-n", "trackmate-late")
    kept = {key: secret["metadata"][key] for key in ("name", "namespace", "labels")}
    planned = {**secret, "metadata": kept, "data": {**secret["data"], "more": "bW9yZQ=="}}
    person.reads("keys", "revoke", "late", "web", *CONTEXT)

    with connected(None) as there, pytest.raises(Declined, match="changed by somebody else"):
        there.run(apply(there.cluster, [planned], {ref(secret): secret}))

    assert issued(plane, "late") == []


def test_a_paused_affiliate_is_left_as_it_is_until_it_goes_on(
    plane: ControlPlane, person: Person
) -> None:
    made(plane, "resting")
    done = person.runs("pause", "resting", "--reason", "the move")
    assert done.stdout.startswith("resting is paused;")
    assert "resting: Paused: the move." in person.runs("status").stdout

    wanted = ("configmap", "trackmate-ingest", "-n", "trackmate-resting")
    plane.kubectl("delete", *wanted)
    told = person.is_told("keys", "create", "resting", "late", code=1)
    assert "is paused (the move), so that it works once it goes on: trackmate resume" in told
    assert plane.tried("get", *wanted).returncode != 0

    assert person.runs("resume", "resting").stdout == "resting goes on.\n"
    wait_until(lambda: plane.tried("get", *wanted).returncode == 0, "it is mended")
    wait_until(lambda: len(issued(plane, "resting")) == 2, "the key is made")


def test_a_pipeline_is_paused_in_the_settings_of_its_program(
    plane: ControlPlane, person: Person
) -> None:
    made(plane, "flowing")

    def reason() -> str | None:
        held = files(plane, "configmap", "trackmate-pipeline-to-crm", "trackmate-flowing")
        found: str | None = json.loads(held["settings.yaml"]).get("paused")
        return found

    paused = person.reads("pause", "flowing/to-crm", "--reason", "crm is down")
    assert {c["status"] for c in paused["conditions"] if c["type"] == "Paused"} == {"True"}
    wait_until(lambda: reason() == "crm is down", "its program is told")
    assert person.runs("resume", "flowing/to-crm").stdout == "flowing/to-crm goes on.\n"
    wait_until(lambda: reason() is None, "its program is told")

    told = person.is_told("pause", "flowing/nope")
    assert told == "Affiliate 'flowing' has no pipeline 'nope'. It has: to-crm."


def test_the_snippet_has_the_address_and_the_newest_browser_key(
    plane: ControlPlane, person: Person
) -> None:
    made(plane, "pasted")
    person.reads("keys", "rotate", "pasted", "web")
    newest = issued(plane, "pasted")[-1]["key"]
    text = person.runs("snippet", "pasted").stdout
    source = "https://pasted.track.example.com/trackmate.js"
    assert text == f'<script async src="{source}" data-key="{newest}"></script>\n'


def test_who_lacks_a_right_is_told_which_and_whom_to_ask(
    plane: ControlPlane, person: Person, tmp_path: Path
) -> None:
    viewer = {"role": "Viewer", "subjects": [{"kind": "User", "name": "ann"}]}
    made(plane, "guarded", access=[viewer])
    ann = Person(tmp_path, plane.user("ann"))

    listed, of_keys = ann.is_told("status"), ann.is_told("keys", "list", "guarded")

    assert listed == (
        "You are 'ann' there, and may not list affiliates.trackmate.io in the whole cluster. Ask "
        "the platform team for a role with the verb 'list' on 'affiliates.trackmate.io' there."
    )
    assert "the verb 'get' on 'affiliates.trackmate.io'" in of_keys
    rules = ("--verb=get,list", "--resource=affiliates.trackmate.io")
    plane.kubectl("create", "clusterrole", "looks", *rules)
    plane.kubectl("create", "clusterrolebinding", "looks", "--clusterrole=looks", "--user=ann")
    wait_until(lambda: ann.runs("status", "guarded").returncode == 0, "she may look")
    assert "may not get secrets in the namespace trackmate-guarded" in ann.is_told(
        "keys", "list", "guarded"
    )
    assert "may not patch affiliates.trackmate.io" in ann.is_told("pause", "guarded")


def test_who_cannot_be_reached_is_named_with_the_cure(
    plane: ControlPlane, person: Person, tmp_path: Path
) -> None:
    assert person.is_told("status", "--context", "nope").endswith("There is: trackmate.")
    away = tmp_path / "away"
    away.write_text(kubeconfig("https://127.0.0.1:9", plane.ca_file.read_bytes(), "a-token"))
    told = Person(tmp_path, away).is_told("status", code=3)
    assert told.startswith("The API server of the cluster of context 'trackmate' does not answer")
    away.write_text(kubeconfig(plane.url, plane.ca_file.read_bytes(), "a-token"))
    assert "does not know you: log in again" in Person(tmp_path, away).is_told("status")
    away.write_text("{")
    assert "cannot be read" in Person(tmp_path, away).is_told("status")


@pytest.mark.parametrize(
    "command",
    [
        ["send", "acme"],
        ["tail", "acme"],
        ["audit", "acme"],
        ["dead-letters", "list", "acme/to-crm"],
    ],
)
def test_what_does_not_work_on_a_cluster_yet_says_what_to_do(
    person: Person, command: list[str]
) -> None:
    told = person.is_told(*command)
    assert f"`trackmate {command[0]}` does not work on a cluster yet. " in told


def test_it_is_a_plugin_of_kubectl(plane: ControlPlane, person: Person) -> None:
    made(plane, "plugged")
    path = f"{Path(TRACKMATE).parent}{os.pathsep}{os.environ['PATH']}"
    done = person.runs(
        *("trackmate", "status", "plugged", "--json"),
        program=str(binaries() / "kubectl"),
        PATH=path,
    )
    assert json.loads(done.stdout)["affiliates"][0]["name"] == "plugged", done.stderr


def test_no_key_of_the_kubeconfig_stays_in_a_file(person: Person, tmp_path: Path) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    assert person.runs("status", TMPDIR=str(folder)).returncode == 0
    assert list(folder.iterdir()) == []
