"""
The operator on a real control plane with a real Kafka: one YAML makes a tenant, and keeps it so.
"""

import json
import os
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from control_plane import ControlPlane
from kafka_broker import Cluster
from loopback import LOOPBACK
from mounting import carried, files, keys
from operating import Operating, blocked, condition, operating, ready, users, wait_for
from tenants import affiliate, pipeline
from trackmate_contract.names import topic
from waiting_for import wait_until
from whole_lines import whole_lines

pytestmark = [pytest.mark.needs("cluster"), pytest.mark.needs("kafka"), pytest.mark.timeout(240)]


SOAK_LOOKS = int(os.environ.get("TRACKMATE_SOAK_LOOKS", "2"))
"""One every ten seconds: 60 are ten minutes."""


@pytest.fixture(scope="module")
def operator(
    plane: ControlPlane, kafka: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Operating]:
    with operating(tmp_path_factory.mktemp("operator"), plane, kafka) as running:
        yield running


def namespace_of(name: str, **labels: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": f"trackmate-{name}", "labels": labels},
    }


def pipeline_of(name: str, one: str, **spec: Any) -> dict[str, Any]:
    return pipeline(one, f"trackmate-{name}", **spec)


def test_an_empty_spec_is_a_complete_tenant(
    plane: ControlPlane, kafka: Cluster, operator: Operating
) -> None:
    plane.apply(affiliate("empty"))

    found = ready(plane, "empty")

    status = found["status"]
    assert status["endpoint"] == "https://empty.track.example.com"
    assert status["namespace"] == "trackmate-empty"
    assert status["id"].startswith("empty-")
    assert list(keys(plane, status["keySecret"].removesuffix("-keys"))) == ["web"]
    [stream] = status["streams"]
    assert (stream["name"], stream["partitions"]) == ("events", 6)
    assert len(stream["topicId"]) == 22
    columns = plane.kubectl("get", "affiliates", "empty", "--no-headers").split()
    assert columns[:4] == ["empty", "True", "Ready", "https://empty.track.example.com"]


def test_an_event_goes_from_ingest_to_its_file_by_what_the_operator_made_alone(
    plane: ControlPlane, kafka: Cluster, operator: Operating, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    plane.apply(
        namespace_of("way", **{"trackmate.io/affiliate": "way"}),
        affiliate("way", ingest={"keys": [{"name": "server", "use": "Server"}]}),
        pipeline_of("way", "to-files", sink={"files": {"path": str(out)}}, format="ndjson"),
    )
    ready(plane, "way")
    wait_for(lambda: plane.read("pipeline", "to-files", "-n", "trackmate-way"))
    event = b'{"messageId":"m-1",  "n":1e0}'
    carried(plane, "way", "to-files", event, home=tmp_path, out=out)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_namespace_affiliate_and_pipeline_converge_in_any_order(
    plane: ControlPlane, operator: Operating, order: tuple[int, ...]
) -> None:
    """As Argo CD applies them; what needs the namespace is applied again until it is there."""

    def applied(manifest: dict[str, Any]) -> bool:
        text = json.dumps(manifest)
        return plane.tried("apply", "--server-side", "-f", "-", input=text).returncode == 0

    name = f"order-{''.join(map(str, order))}"
    manifests = [
        namespace_of(name, **{"trackmate.io/affiliate": name}),
        affiliate(name),
        pipeline_of(name, "out"),
    ]
    in_order = [manifests[index] for index in order]
    wait_until(lambda: False not in {*map(applied, in_order)}, "all are applied")
    ready(plane, name)
    wait_for(lambda: plane.read("pipeline", "out", "-n", f"trackmate-{name}"))


@pytest.mark.timeout(60 + 40 * SOAK_LOOKS)
def test_after_ready_nothing_is_written_any_more(plane: ControlPlane, operator: Operating) -> None:
    plane.apply(affiliate("quiet"))
    ready(plane, "quiet")
    settled = written(plane, "quiet")
    looks = looked(plane, "quiet")
    again = looks + SOAK_LOOKS
    seconds = 30 * SOAK_LOOKS
    wait_until(lambda: looked(plane, "quiet") >= again, "it was looked at again", seconds=seconds)
    assert written(plane, "quiet")[len(settled) :] == []


def audited(plane: ControlPlane, name: str) -> Iterator[dict[str, Any]]:
    """The operator's requests about one affiliate, by the API server's own log."""
    for line in whole_lines(plane.home / "audit.log").splitlines():
        request = json.loads(line)
        about = request.get("objectRef", {})
        agent = request.get("userAgent", "")
        if "kubectl" in agent or request["stage"] != "ResponseComplete":
            continue
        if name in {about.get("name"), about.get("namespace", "").removeprefix("trackmate-")}:
            yield request


def written(plane: ControlPlane, name: str) -> list[str]:
    verbs = {"create", "update", "patch", "delete"}
    return [
        f"{one['verb']} {one['objectRef']['resource']} {one['user']['username']}"
        for one in audited(plane, name)
        if one["verb"] in verbs and not one["user"]["username"].startswith("system:")
    ]


def looked(plane: ControlPlane, name: str) -> int:
    return sum(
        one["verb"] == "get" and one["objectRef"]["resource"] == "affiliates"
        for one in audited(plane, name)
    )


def test_health_and_figures_are_served_and_a_line_names_its_look(
    plane: ControlPlane, operator: Operating
) -> None:
    plane.apply(affiliate("figured"))
    ready(plane, "figured")
    plane.apply(pipeline_of("figured", "out"))
    [started] = operator.said("started")
    url = f"http://127.0.0.1:{started['port']}"

    def get(path: str) -> httpx.Response:
        return httpx.get(url + path, **LOOPBACK)

    assert get("/healthz").json() == {"status": "ok", "reason": ""}
    assert get("/readyz").json() == {"status": "ok", "reason": ""}
    holds = 'status="True",type="Ready"} 1.0'
    gauges = {
        f'trackmate_affiliate_condition{{affiliate="figured",{holds}',
        f'trackmate_pipeline_condition{{affiliate="figured",pipeline="out",{holds}',
    }
    wait_until(lambda: gauges <= {*get("/metrics").text.splitlines()}, "the conditions are gauges")
    metrics = get("/metrics").text
    assert 'leader_election_master_status{name="trackmate-operator"} 1.0' in metrics
    assert 'workqueue_depth{name="affiliate"}' in metrics
    assert 'controller_runtime_reconcile_total{controller="affiliate",result="success"}' in metrics
    looks = {one["look"] for one in operator.said("changed") if one["affiliate"] == "figured"}
    assert looks
    assert all(len(look) == 8 for look in looks)


def test_hand_edits_are_mended_at_once_and_said_with_who_made_them(
    plane: ControlPlane, operator: Operating
) -> None:
    plane.apply(affiliate("drift"))
    ready(plane, "drift")
    where = ("-n", "trackmate-drift")
    before = plane.read("networkpolicy", "trackmate-deny", *where)["spec"]

    plane.kubectl(
        *("patch", "networkpolicy", "trackmate-deny", *where, "--type=merge"),
        *("-p", '{"spec":{"ingress":[{}]}}', "--field-manager=night-shift"),
    )

    wait_until(
        lambda: (
            plane.read("networkpolicy", "trackmate-deny", *where)["spec"] != before
            or bool(operator.said("mended"))
        ),
        "the edit is there or mended",
    )
    found = wait_for(lambda: plane.read("affiliate", "drift"), about="Drifted", reason="Mended")
    assert condition(found, "Drifted")[2] == (
        "NetworkPolicy 'trackmate-deny' in namespace trackmate-drift was changed by 'night-shift' "
        "and is mended."
    )


@pytest.mark.parametrize(
    ("kind", "name", "patch"),
    [
        ("networkpolicy", "trackmate-deny", {"spec": {"ingress": [{}]}}),
        ("networkpolicy", "trackmate-dns", {"spec": {"podSelector": {"matchLabels": {"a": "b"}}}}),
        ("secret", "widened-keys", {"stringData": {"more": "1"}}),
        ("resourcequota", "trackmate", {"spec": {"hard": {"pods": "1000"}}}),
        (
            "role",
            "trackmate-viewer",
            {"rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]},
        ),
        ("rolebinding", "trackmate-viewer", {"subjects": [{"kind": "User", "name": "mallory"}]}),
        ("role", "trackmate-viewer", {"metadata": {"labels": {"trackmate.io/affiliate": None}}}),
    ],
)
def test_nobody_widens_what_the_plan_keeps_closed(
    plane: ControlPlane, operator: Operating, kind: str, name: str, patch: dict[str, Any]
) -> None:
    affiliate_name = "unlabelled" if "metadata" in patch else "widened"  # mended once a minute
    access = [{"role": "Viewer", "subjects": [{"kind": "Group", "name": "g"}]}]
    plane.apply(affiliate(affiliate_name, access=access))
    ready(plane, affiliate_name)
    where = ("-n", f"trackmate-{affiliate_name}")

    def body() -> Any:
        found = plane.read(kind, name, *where)
        ours = found["metadata"]["labels"].get("trackmate.io/affiliate")
        return ours, {key: found.get(key) for key in ("spec", "data", "rules", "subjects")}

    before = body()
    mended = len(operator.said("mended"))
    plane.kubectl("patch", kind, name, *where, "--type=merge", "-p", json.dumps(patch))
    wait_until(lambda: len(operator.said("mended")) > mended, "it is mended")
    wait_until(lambda: body() == before, "it is as it was")


def test_what_is_removed_by_hand_is_made_anew_as_it_was(
    plane: ControlPlane, operator: Operating
) -> None:
    plane.apply(affiliate("removed"))
    ready(plane, "removed")
    before = keys(plane, "removed")
    password = files(plane, "secret", "trackmate-ingest-kafka", "trackmate-removed")
    plane.kubectl("delete", "secret", "--all", "-n", "trackmate-removed")
    plane.kubectl("delete", "configmap", "trackmate-ingest", "-n", "trackmate-removed")
    wait_until(
        lambda: (
            plane.tried(
                "get", "configmap", "trackmate-ingest", "-n", "trackmate-removed"
            ).returncode
            == 0
            and plane.tried("get", "secret", "removed-keys", "-n", "trackmate-removed").returncode
            == 0
        ),
        "they are there",
    )
    assert keys(plane, "removed") == before
    wait_until(
        lambda: files(plane, "secret", "trackmate-ingest-kafka", "trackmate-removed") == password,
        "the password is the same",
    )


def test_a_key_that_leaves_the_spec_runs_out_and_a_pipeline_that_goes_takes_its_user_along(
    plane: ControlPlane, kafka: Cluster, operator: Operating
) -> None:
    both = [{"name": "web", "use": "Browser"}, {"name": "server", "use": "Server"}]
    plane.apply(affiliate("leaves", ingest={"keys": both}))
    ready(plane, "leaves")
    plane.apply(pipeline_of("leaves", "out"))
    wait_for(lambda: plane.read("pipeline", "out", "-n", "trackmate-leaves"))
    assert "leaves.out" in users(kafka)

    plane.apply(affiliate("leaves", ingest={"keys": both[:1]}))
    plane.kubectl("delete", "pipeline", "out", "-n", "trackmate-leaves")

    def issued() -> dict[str, Any]:
        held = files(plane, "secret", "leaves-keys", "trackmate-leaves")
        return {one["name"]: one["expires"] for one in json.loads(held["keys.json"])}

    wait_until(lambda: issued()["server"] is not None, "the key runs out")
    assert issued()["web"] is None
    wait_until(lambda: "leaves.out" not in users(kafka), "its user is gone")
    assert "leaves.out.dead" in kafka.admin().list_topics(timeout=10).topics, "its letters stay"
    gone = plane.tried("get", "configmap", "trackmate-pipeline-out", "-n", "trackmate-leaves")
    wait_until(lambda: gone.returncode != 0, "its settings are gone")


# bad input: what, where and the cure; nothing else is touched; it heals by itself


def test_several_faults_are_told_at_once_and_what_runs_is_left_alone(
    plane: ControlPlane, operator: Operating
) -> None:
    plane.apply(affiliate("faulty"))
    ready(plane, "faulty")
    before = plane.read("configmap", "trackmate-ingest", "-n", "trackmate-faulty")["data"]
    wrong = affiliate(
        "faulty",
        ingest={
            "keys": [{"name": "server", "use": "Server"}],
            "limits": {"eventBytes": "1Mi", "bodyBytes": "1Ki"},
        },
        streams=[{"name": "events", "retention": "4000d"}],
    )
    refused = plane.tried("apply", "--server-side", "-f", "-", input=json.dumps(wrong))
    if refused.returncode == 0:
        message = blocked(plane, "faulty", "Invalid")
        assert "spec.streams[0].retention" in message
        assert "spec.ingest.limits" in message
        data = plane.read("configmap", "trackmate-ingest", "-n", "trackmate-faulty")["data"]
        assert data == before
        plane.apply(affiliate("faulty"))
    ready(plane, "faulty")


def test_a_host_that_another_has_is_refused_until_it_is_free(
    plane: ControlPlane, operator: Operating
) -> None:
    plane.apply(affiliate("first-host", ingest={"hosts": ["shop.example"]}))
    ready(plane, "first-host")
    plane.apply(affiliate("second-host", ingest={"hosts": ["shop.example"]}))

    message = blocked(plane, "second-host", "HostConflict")

    assert "'shop.example' belongs to affiliate 'first-host'" in message
    assert plane.tried("get", "namespace", "trackmate-second-host").returncode != 0
    plane.apply(affiliate("first-host", ingest={"hosts": ["other.example"]}))
    ready(plane, "second-host")


def test_a_namespace_that_is_not_ours_is_left_alone_until_it_is_handed_over(
    plane: ControlPlane, operator: Operating
) -> None:
    plane.apply(namespace_of("theirs", team="payments"))
    plane.apply(affiliate("theirs"))

    message = blocked(plane, "theirs", "NamespaceConflict")

    assert "label it trackmate.io/affiliate=theirs to hand it over" in message
    inside = plane.read("secret,configmap,networkpolicy", "-n", "trackmate-theirs")["items"]
    assert [one["metadata"]["name"] for one in inside] in ([], ["kube-root-ca.crt"])
    plane.kubectl("label", "namespace", "trackmate-theirs", "trackmate.io/affiliate=theirs")
    found = ready(plane, "theirs")
    assert found["status"]["namespace"] == "trackmate-theirs"
    labels = plane.read("namespace", "trackmate-theirs")["metadata"]["labels"]
    assert labels["team"] == "payments"
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_a_secret_of_that_name_that_is_not_ours_is_not_overwritten(
    plane: ControlPlane, operator: Operating
) -> None:
    plane.apply(namespace_of("secretive", **{"trackmate.io/affiliate": "secretive"}))
    plane.kubectl(
        *("create", "secret", "generic", "secretive-keys", "-n", "trackmate-secretive"),
        "--from-literal=theirs=1",
    )
    plane.apply(affiliate("secretive"))

    message = blocked(plane, "secretive", "Conflict")

    assert message.startswith("Secret 'secretive-keys' in namespace trackmate-secretive is there")
    held = files(plane, "secret", "secretive-keys", "trackmate-secretive")
    assert held == {"theirs": "1"}
    plane.kubectl("delete", "secret", "secretive-keys", "-n", "trackmate-secretive")
    ready(plane, "secretive")


def test_keys_that_were_changed_by_hand_are_said_and_not_replaced_by_new_ones(
    plane: ControlPlane, operator: Operating
) -> None:
    plane.apply(affiliate("scribbled"))
    ready(plane, "scribbled")
    before = keys(plane, "scribbled")
    where = ("secret", "scribbled-keys", "-n", "trackmate-scribbled")
    nonsense = b64encode(b"[{}]").decode()
    patch = json.dumps({"data": {"book.json": nonsense}})
    plane.kubectl("patch", *where, "--type=merge", "-p", patch)

    message = blocked(plane, "scribbled", "KeysUnreadable")

    assert "delete the Secret: it is made anew as it was" in message
    assert keys(plane, "scribbled") == before
    plane.kubectl("delete", *where)
    ready(plane, "scribbled")
    assert keys(plane, "scribbled") == before


def test_a_key_waits_for_its_secret_and_the_others_do_not(
    plane: ControlPlane, operator: Operating
) -> None:
    reference = {"secretKeyRef": {"name": "mine", "key": "value"}}
    plane.apply(
        affiliate(
            "awaits",
            ingest={
                "keys": [
                    {"name": "web", "use": "Browser"},
                    {"name": "own", "use": "Server", "valueFrom": reference},
                ]
            },
        )
    )

    message = blocked(plane, "awaits", "SecretMissing")

    assert "Secret 'mine' in namespace trackmate-awaits with a value under 'value'" in message
    wait_until(lambda: list(keys(plane, "awaits")) == ["web"], "the other key is there")
    plane.kubectl(
        *("create", "secret", "generic", "mine", "-n", "trackmate-awaits"),
        "--from-literal=value=a-value-of-their-own",
    )
    ready(plane, "awaits")
    assert keys(plane, "awaits")["own"] == "a-value-of-their-own"


def test_a_topic_that_nobody_claimed_is_not_taken_over(
    plane: ControlPlane, kafka: Cluster, operator: Operating
) -> None:
    kafka.create(topic("stranger", "events"))
    plane.apply(affiliate("stranger"))
    message = blocked(plane, "stranger", "KafkaRefused")
    assert message.startswith("Topic 'stranger.events' is in Kafka and nobody's here")


def test_a_faulty_pipeline_says_so_and_disturbs_no_other(
    plane: ControlPlane, operator: Operating
) -> None:
    plane.apply(affiliate("piped"))
    ready(plane, "piped")
    plane.apply(pipeline_of("piped", "good"), pipeline_of("piped", "odd", stream="orders"))

    wait_for(lambda: plane.read("pipeline", "good", "-n", "trackmate-piped"))
    odd = wait_for(
        lambda: plane.read("pipeline", "odd", "-n", "trackmate-piped"),
        status="False",
        reason="Invalid",
    )

    assert "'orders' is not a stream of the affiliate, which has events" in condition(odd)[2]
    ready(plane, "piped")
    plane.apply(affiliate("piped", streams=[{"name": "events"}, {"name": "orders"}]))
    wait_for(lambda: plane.read("pipeline", "odd", "-n", "trackmate-piped"))


def test_a_pipeline_without_an_affiliate_says_so_and_runs_once_it_has_one(
    plane: ControlPlane, operator: Operating
) -> None:
    plane.apply(
        namespace_of("stray", **{"trackmate.io/affiliate": "stray"}), pipeline_of("stray", "out")
    )

    def read() -> Any:
        return plane.read("pipeline", "out", "-n", "trackmate-stray")

    alone = wait_for(read, status="False", reason="NoAffiliate")
    assert "Namespace 'trackmate-stray' is no affiliate's" in condition(alone)[2]
    plane.apply(affiliate("stray"))
    wait_for(read)
    plane.kubectl("delete", "affiliate", "stray", "--timeout=60s")
    wait_for(read, status="False", reason="NoAffiliate")


def test_a_new_pipeline_says_what_its_affiliate_waits_for(
    plane: ControlPlane, operator: Operating
) -> None:
    plane.apply(affiliate("holding"))
    ready(plane, "holding")
    plane.kubectl("annotate", "affiliate", "holding", "trackmate.io/paused=the move")
    blocked(plane, "holding", "Paused", status="Unknown")
    plane.apply(pipeline_of("holding", "out"))
    new = wait_for(
        lambda: plane.read("pipeline", "out", "-n", "trackmate-holding"),
        status="False",
        reason="AffiliateBlocked",
    )
    assert condition(new)[2] == "Waits for Affiliate 'holding': Paused: the move."


def test_a_paused_affiliate_is_left_as_it_is(plane: ControlPlane, operator: Operating) -> None:
    plane.apply(affiliate("pausing"))
    ready(plane, "pausing")
    plane.kubectl("annotate", "affiliate", "pausing", "trackmate.io/paused=the move")
    message = blocked(plane, "pausing", "Paused", status="Unknown")
    assert message == "Paused: the move."

    plane.kubectl("delete", "configmap", "trackmate-ingest", "-n", "trackmate-pausing")
    looks = looked(plane, "pausing")
    wait_until(lambda: looked(plane, "pausing") > looks, "it is looked at", seconds=30)
    gone = plane.tried("get", "configmap", "trackmate-ingest", "-n", "trackmate-pausing")
    assert gone.returncode != 0

    plane.kubectl("annotate", "affiliate", "pausing", "trackmate.io/paused-")
    ready(plane, "pausing")
    plane.kubectl("get", "configmap", "trackmate-ingest", "-n", "trackmate-pausing")


def test_no_secret_is_outside_the_secrets(plane: ControlPlane, operator: Operating) -> None:
    """Attack A34: in no object, status, Event, annotation or line of the log."""
    plane.apply(affiliate("discreet"))
    ready(plane, "discreet")
    plane.apply(pipeline_of("discreet", "out"))
    wait_for(lambda: plane.read("pipeline", "out", "-n", "trackmate-discreet"))
    secrets = plane.read("secret", "-n", "trackmate-discreet")["items"]
    values = {*keys(plane, "discreet").values()}
    for one in secrets:
        held = files(plane, "secret", one["metadata"]["name"], "trackmate-discreet")
        values |= {held[name] for name in ("password",) if name in held}
    assert len(values) == 3
    where = plane.kubectl("get", _ALL, "-A", "-o", "json") + operator.log
    where += json.dumps([one["metadata"] for one in secrets])
    for value in values:
        assert value not in where
        assert b64encode(value.encode()).decode() not in where


_ALL = "affiliates,pipelines,configmaps,events,namespaces,leases,roles,rolebindings,networkpolicies"


def test_a_stream_cannot_be_made_smaller_by_removing_and_adding_it_again(
    plane: ControlPlane, kafka: Cluster, operator: Operating
) -> None:
    """CEL compares with the last spec alone; the operator with what is in Kafka."""
    wide = {"name": "wide", "partitions": 4}
    plane.apply(affiliate("around", streams=[{"name": "events"}, wide]))
    ready(plane, "around")
    plane.apply(affiliate("around", streams=[{"name": "events"}]))
    ready(plane, "around")
    plane.apply(affiliate("around", streams=[{"name": "events"}, {**wide, "partitions": 2}]))

    message = blocked(plane, "around", "KafkaRefused")

    assert "around.wide" in message
    assert "4" in message
    partitions = kafka.admin().list_topics(timeout=10).topics["around.wide"].partitions
    assert len(partitions) == 4
