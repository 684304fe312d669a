"""
The plan of an affiliate: what is in it can be read by the programs it is for, belongs to nobody
else, and gives nobody more than was meant.
"""

import json
from base64 import b64decode
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenants import affiliate, platform, tenant
from trackmate_consume import settings as consume
from trackmate_contract.names import NAME
from trackmate_contract.settings import read
from trackmate_ingest import issued
from trackmate_ingest import settings as ingest
from trackmate_operator.kinds import CHILDREN, CONFIG_MAP, SECRET, Ref, ref
from trackmate_operator.plan.affiliate import objects
from trackmate_operator.plan.kafka import wanted
from trackmate_operator.plan.namespace import namespace
from trackmate_operator.plan.objects import AFFILIATE
from trackmate_operator.settings import Topics
from trackmate_operator.tenant import Document, Tenant

TOPICS = Topics()
names = st.from_regex(NAME, fullmatch=True).filter(lambda name: 2 <= len(name) <= 40)


def planned(one: Tenant, **more: Any) -> dict[Ref, Document]:
    return {ref(document): document for document in objects(one, platform(**more))}


def data(document: Document) -> Mapping[str, str]:
    if document["kind"] == "Secret":
        return {name: b64decode(text).decode() for name, text in document["data"].items()}
    found: Mapping[str, str] = document["data"]
    return found


def settings_of(one: Tenant, name: str, **more: Any) -> Any:
    document = planned(one, **more)[Ref(CONFIG_MAP, name, one.namespace)]
    return json.loads(data(document)["settings.yaml"])


def test_ingest_takes_the_settings_and_the_keys_that_are_planned_for_it() -> None:
    one = tenant(ingest={"keys": [{"name": "web", "use": "Browser"}]})

    document = settings_of(one, "trackmate-ingest")
    found = read(ingest.IngestSettings, document, {}, program="X", value=str, relate=ingest.relate)
    keys = data(planned(one)[Ref(SECRET, "acme-keys", one.namespace)])["keys.json"]

    assert found.affiliate == "acme"
    assert found.spec.ingest.hosts == ("acme.track.example.com",)
    assert [key.name for key in issued.read(keys, found.spec.ingest.keys)] == ["web"]


def test_consume_takes_the_settings_that_are_planned_for_it() -> None:
    one = tenant(pipelines=("out",))

    document = settings_of(one, "trackmate-pipeline-out", allowedNetworks=["10.0.0.0/8"])
    found = read(
        consume.ConsumeSettings, document, {}, program="X", value=str, relate=consume.relate
    )

    assert (found.affiliate, found.pipeline) == ("acme", "out")
    assert found.allowed_networks == ("10.0.0.0/8",)
    assert found.kafka.sasl is not None
    assert found.kafka.sasl.username == "acme.out"


def test_one_broker_is_said_to_promise_less() -> None:
    one = tenant()
    less = {"topics": {"replicas": 1, "minInsyncReplicas": 1}}
    assert settings_of(one, "trackmate-ingest", **less)["kafka"]["relaxed"] is True
    assert "relaxed" not in settings_of(one, "trackmate-ingest")["kafka"]


def test_brokers_certificates_are_checked_by_what_the_platform_says() -> None:
    one = tenant()
    secret = Ref(SECRET, "trackmate-ingest-kafka", one.namespace)
    with_ca = {ref(one): one for one in objects(one, platform("PEM"))}
    kafka = json.loads(
        with_ca[Ref(CONFIG_MAP, "trackmate-ingest", one.namespace)]["data"]["settings.yaml"]
    )["kafka"]
    assert kafka["tls"] == {"caFile": "/etc/trackmate/kafka/ca.crt"}
    assert data(with_ca[secret])["ca.crt"] == "PEM"
    system = {"kafka": {"bootstrapServers": "a:1", "tls": {}}}
    assert settings_of(one, "trackmate-ingest", **system)["kafka"]["tls"] == {}


def test_without_its_password_a_program_has_no_settings() -> None:
    one = tenant(pipelines=("out",), passwords=False)
    assert not [r for r in planned(one) if r.kind == CONFIG_MAP]


def test_no_secret_is_outside_a_secret() -> None:
    one = tenant(pipelines=("out",))
    everything = planned(one)
    secrets = {text for r, d in everything.items() if r.kind == SECRET for text in data(d).values()}
    canaries = [text for text in secrets if "canary" in text]
    assert canaries
    for r, document in everything.items():
        if r.kind != SECRET:
            assert not [text for text in canaries if text in json.dumps(document)]
            assert "tmw_" not in json.dumps(document)


def test_everything_is_marked_prunable_and_owned_by_nobody() -> None:
    """An ownerReference would let a foreground delete take Secrets before the finalizer ran."""
    access = [{"role": "Editor", "subjects": [{"kind": "Group", "name": "g"}]}]
    for r, document in planned(tenant(pipelines=("out",), access=access)).items():
        assert r.kind in CHILDREN, "what is not listed would never be removed"
        assert r.namespace == "trackmate-acme"
        assert document["metadata"]["labels"][AFFILIATE] == "acme"
        assert "ownerReferences" not in document["metadata"]
    assert "ownerReferences" not in namespace("trackmate-acme", "acme")["metadata"]


def test_labels_and_annotations_of_the_affiliate_are_not_copied() -> None:
    """Argo CD would take the children for its own, and prune them."""
    document = affiliate()
    document["metadata"]["labels"] = {"app.kubernetes.io/instance": "canary-label"}
    assert "canary-label" not in json.dumps([*planned(tenant()).values()])


def test_nobody_is_given_secrets_or_the_operators_own_rights() -> None:
    access = [
        {"role": "Editor", "subjects": [{"kind": "Group", "name": "editors"}]},
        {
            "role": "Viewer",
            "subjects": [
                {"kind": "User", "name": "v"},
                {"kind": "ServiceAccount", "name": "bot", "namespace": "ci"},
            ],
        },
    ]
    everything = planned(tenant(access=access))
    rules = [rule for r, d in everything.items() if r.kind.kind == "Role" for rule in d["rules"]]
    for rule in rules:
        assert "*" not in rule["verbs"] + rule["resources"] + rule["apiGroups"]
        assert not {"escalate", "bind", "impersonate"} & set(rule["verbs"])
        if "secrets" in rule["resources"]:
            assert rule["verbs"] == ["create"]
        assert not {"pods/exec", "pods/attach", "pods/portforward"} & set(rule["resources"])
    bindings = {
        r.name: d["subjects"] for r, d in everything.items() if r.kind.kind == "RoleBinding"
    }
    assert [s["name"] for s in bindings["trackmate-viewer"]] == ["v", "bot"]
    assert bindings["trackmate-editor"][0]["apiGroup"] == "rbac.authorization.k8s.io"
    assert "apiGroup" not in bindings["trackmate-viewer"][1]


def test_without_access_nobody_has_a_role() -> None:
    assert not [r for r in planned(tenant()) if r.kind.kind in {"Role", "RoleBinding"}]


def test_everything_is_denied_that_no_policy_allows() -> None:
    policies = {r.name: d["spec"] for r, d in planned(tenant()).items() if "Network" in r.kind.kind}
    deny = policies["trackmate-deny"]
    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for policy in ("trackmate-ingest", "trackmate-consume"):
        [rule] = policies[policy]["egress"]
        assert rule["to"][0]["ipBlock"]["except"] == ["169.254.0.0/16"], "the node's credentials"


@pytest.mark.parametrize(
    ("spec", "partitions", "config"),
    [
        ({}, 6, {"retention.ms": str(7 * 86_400_000), "max.message.bytes": "1048588"}),
        (
            {
                "streams": [{"name": "events", "partitions": 12, "retention": "1h"}],
                "ingest": {"limits": {"eventBytes": "2Mi", "bodyBytes": "4Mi"}},
            },
            12,
            {"retention.ms": "3600000", "max.message.bytes": str(2064 * 1024)},
        ),
    ],
)
def test_a_stream_is_a_topic_as_its_spec_says(
    spec: dict[str, Any], partitions: int, config: dict[str, str]
) -> None:
    [one] = wanted(tenant(**spec), TOPICS).topics
    assert (one.name, one.partitions, one.replicas) == ("acme.events", partitions, 3)
    assert config.items() <= one.config.items()
    assert one.config["min.insync.replicas"] == "2"
    assert one.config["unclean.leader.election.enable"] == "false"


@given(names, names, names, names)
def test_two_affiliates_have_no_topic_user_or_right_in_common(
    first: str, second: str, one: str, other: str
) -> None:
    if first == second or "trackmate" in {first, second} or "store" in {one, other}:
        return
    mine = wanted(tenant(first, pipelines=(one,), passwords=False), TOPICS)
    theirs = wanted(tenant(second, pipelines=(other,), passwords=False), TOPICS)
    assert not {t.name for t in mine.topics} & {t.name for t in theirs.topics}
    assert not {u.name for u in mine.users} & {u.name for u in theirs.users}
    resources = [
        {(right.resource, right.name) for user in each.users for right in user.rights}
        for each in (mine, theirs)
    ]
    assert not resources[0] & resources[1]
