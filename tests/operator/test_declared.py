"""
What is taken as it is declared, and what becomes of the rest: it runs on as it did, and says why.
"""

import json
from dataclasses import replace
from typing import Any

import pytest

from tenants import affiliate, declared, pipeline, platform, tenant
from trackmate_operator.apply import marked
from trackmate_operator.declared import (
    PAUSED,
    accepted,
    book_of,
    host_conflict,
    hosts_of,
    id_of,
    namespace_of,
    passwords_of,
    pinned,
    pipelines,
)
from trackmate_operator.kinds import SECRET, Ref, ref
from trackmate_operator.plan.affiliate import objects

TEMPLATE = "{affiliate}.track.example.com"
ACME = accepted(affiliate("acme"))


def served(name: str, created: str, *hosts: str) -> dict[str, Any]:
    document = affiliate(name, ingest={"hosts": list(hosts)})
    document["metadata"] |= {"creationTimestamp": created, "uid": f"{name}-uid-of-it"}
    return document


def there(*names: str, paused: str = "") -> dict[Ref, Any]:
    """What the namespace has, once these pipelines ran."""
    ran = tenant(pipelines=names)
    ran = replace(ran, pipelines=tuple(replace(one, paused=paused) for one in ran.pipelines))
    made = map(marked, objects(ran, platform()))
    return {ref(document): document for document in made}


def test_a_pipeline_that_became_faulty_runs_on_as_it_did() -> None:
    faulty = pipeline("out", sink={"stdout": {}, "files": {"path": "/x"}})

    found = pipelines([faulty], ACME, there("out"))

    assert "several sinks" in found.faults["out"]
    assert [one.spec for one in found.taken] == [declared("out").spec]


def test_a_faulty_pipeline_that_never_ran_does_not_run() -> None:
    found = pipelines([pipeline("out", sink={})], ACME, {})
    assert not found.taken
    assert "spec.sink: there is no sink" in found.faults["out"]


def test_all_faults_of_a_pipeline_are_told_at_once() -> None:
    found = pipelines([pipeline("out", sink={}, strem="x", replicas=-1)], ACME, {})
    assert found.faults["out"].count("spec.") >= 3


def test_a_pipeline_of_a_stream_that_is_not_there_says_which_there_are() -> None:
    found = pipelines([pipeline("out", stream="orders")], ACME, {})
    assert found.faults["out"] == (
        "spec.stream: 'orders' is not a stream of the affiliate, which has events; name one of "
        "them, or add it to its spec.streams."
    )


@pytest.mark.parametrize(
    ("sink", "path"),
    [
        (
            {"http": {"url": "https://a.example", "headers": [{"name": "x", "valueFrom": None}]}},
            "spec.sink.http.headers[0].valueFrom.secretKeyRef",
        ),
        (
            {"http": {"url": "https://a.example", "signing": {"secretRef": None}}},
            "spec.sink.http.signing.secretRef",
        ),
        (
            {"http": {"url": "https://a.example", "tls": {"caSecretRef": None}}},
            "spec.sink.http.tls.caSecretRef",
        ),
        (
            {"postgres": {"table": "events", "connectionSecretRef": None}},
            "spec.sink.postgres.connectionSecretRef",
        ),
        (
            {
                "kafka": {
                    "bootstrapServers": "a.example:9093",
                    "topic": "t",
                    "credentialsSecretRef": None,
                }
            },
            "spec.sink.kafka.credentialsSecretRef.name",
        ),
    ],
)
@pytest.mark.parametrize("secret", ["acme-keys", "trackmate-ingest-kafka"])
def test_a_pipeline_cannot_send_out_what_is_in_trackmates_own_secrets(
    sink: dict[str, Any], path: str, secret: str
) -> None:
    """Attack A25: an Editor may make Pipelines, and may not read Secrets."""
    named = json.dumps(sink).replace(
        '"credentialsSecretRef": null', f'"credentialsSecretRef": {{"name": "{secret}"}}'
    )
    ref = json.dumps({"name": secret, "key": "password"})
    named = named.replace('"valueFrom": null', f'"valueFrom": {{"secretKeyRef": {ref}}}')
    found = pipelines([pipeline("out", sink=json.loads(named.replace("null", ref)))], ACME, {})
    assert not found.taken
    assert found.faults["out"].startswith(f"{path}: Secret {secret!r} is Trackmate's own")


def test_a_pipeline_that_is_being_deleted_is_not_declared_any_more() -> None:
    document = pipeline("out")
    document["metadata"]["deletionTimestamp"] = "2026-11-28T00:00:00Z"
    found = pipelines([document], ACME, there("out"))
    assert (found.taken, found.faults) == ((), {})


@pytest.mark.parametrize(
    ("value", "why"), [("the CRM moves", "the CRM moves"), ("", "no reason is given")]
)
def test_a_pipeline_is_paused_by_its_annotation(value: str, why: str) -> None:
    document = pipeline("out")
    document["metadata"]["annotations"] = {PAUSED: value}
    assert pipelines([document], ACME, {}).taken[0].paused == why


@pytest.mark.parametrize(("before", "now"), [("", "the CRM moves"), ("the CRM moves", "")])
def test_a_faulty_pipeline_is_paused_and_resumed_all_the_same(before: str, now: str) -> None:
    faulty = pipeline("out", sink={})
    faulty["metadata"]["annotations"] = {PAUSED: now} if now else {}
    [found] = pipelines([faulty], ACME, there("out", paused=before)).taken
    assert found.paused == now


def test_of_two_with_one_host_the_older_has_it() -> None:
    older = served("zeta", "2026-01-01T00:00:00Z", "shop.example")
    younger = served("acme", "2026-02-01T00:00:00Z", "other.example", "shop.example")

    assert host_conflict(older, [younger, older], TEMPLATE) == ""
    assert host_conflict(younger, [younger, older], TEMPLATE) == (
        "The host 'shop.example' belongs to affiliate 'zeta', which was there before; take it out "
        "of spec.ingest.hosts of one of them."
    )


def test_the_host_of_the_template_can_be_taken_by_another_too() -> None:
    taken = served("zeta", "2026-01-01T00:00:00Z", "acme.track.example.com")
    plain = affiliate("acme")
    plain["metadata"] |= {"creationTimestamp": "2026-02-01T00:00:00Z"}
    assert hosts_of(plain, TEMPLATE) == ["acme.track.example.com"]
    assert "'zeta'" in host_conflict(plain, [plain, taken], TEMPLATE)


def test_what_was_pinned_counts_before_the_default() -> None:
    document = served("acme", "")
    assert (id_of(document), namespace_of(document)) == ("acme-acme-uid", "trackmate-acme")
    assert hosts_of(document, TEMPLATE) == ["acme.track.example.com"]
    document["status"] = {
        "pinned": {"id": "acme-pinned", "namespace": "elsewhere", "host": "acme.old.example"}
    }
    assert (id_of(document), namespace_of(document)) == ("acme-pinned", "elsewhere")
    assert hosts_of(document, TEMPLATE) == ["acme.old.example"]
    document["spec"] |= {"id": "af-1", "namespace": "written"}
    assert (id_of(document), namespace_of(document)) == ("af-1", "written")


def test_what_was_pinned_once_stays_so_and_the_rest_is_added() -> None:
    document = served("acme", "")
    first = {"id": "acme-acme-uid", "namespace": "trackmate-acme", "host": "acme.track.example.com"}
    assert pinned(document, TEMPLATE) == first

    document["status"] = {"pinned": first}
    document["spec"] |= {"store": {"isolation": "Scope"}, "ingest": {"hosts": ["shop.example"]}}
    assert pinned(document, "{affiliate}.new.example") == {**first, "isolation": "Scope"}


def test_passwords_and_the_book_come_back_from_the_secrets() -> None:
    one = tenant(pipelines=("out",))
    found = {ref(d): d for d in objects(one, platform())}
    assert passwords_of(found) == one.passwords
    assert book_of(found[Ref(SECRET, "acme-keys", one.namespace)]) == one.book


@pytest.mark.parametrize("data", [{}, {"book.json": "bm90IGpzb24="}, None])
def test_a_book_that_was_changed_by_hand_is_not_taken_for_an_empty_one(data: Any) -> None:
    with pytest.raises(ValueError, match=r".+"):
        book_of({"data": data})
