"""A manifest is taken whole, or all that is wrong with it is said at once and in plain words."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from trackmate_contract.affiliate import Affiliate, Key, Stream
from trackmate_contract.faults import Fault, Faulty
from trackmate_contract.manifest import parse
from trackmate_contract.pipeline import Pipeline

Document = dict[str, Any]

FAULTS = yaml.safe_load(Path(__file__).with_name("faults.yaml").read_text())
METADATA = {
    "Affiliate": {"name": "acme"},
    "Pipeline": {"name": "to-crm", "namespace": "trackmate-acme"},
}
CASES = [(kind, case["spec"], case["faults"]) for kind, cases in FAULTS.items() for case in cases]

DESIGNED = """
apiVersion: trackmate.io/v1alpha1
kind: Affiliate
metadata: {name: acme}
spec:
  id: af-1042
  displayName: Acme Travel
  namespace: trackmate-acme
  streams:
    - {name: events, partitions: 6, retention: 7d, partitionBy: [anonymousId, userId]}
  ingest:
    hosts: [acme.track.example.com]
    keys:
      - {name: web, use: Browser, origins: ["https://www.acme.example"]}
      - {name: server, use: Server}
    limits: {requestsPerSecond: 2000, bytesPerSecond: 10Mi, eventBytes: 64Ki, bodyBytes: 512Ki}
    privacy: {ip: Truncate, userAgent: true}
    autoscaling: {minReplicas: 2, maxReplicas: 20}
  store:
    isolation: Bucket
    memory: 256Mi
    replicas: 1
    durability: MajorityAndPersistActive
    expiry: 400d
    users: [{name: analyst, role: Reader, secretName: acme-analyst}]
  access:
    - role: Viewer
      subjects: [{kind: Group, name: acme-analysts, apiGroup: rbac.authorization.k8s.io}]
  deletionPolicy: Retain
---
apiVersion: trackmate.io/v1alpha1
kind: Pipeline
metadata: {name: bookings-to-crm, namespace: trackmate-acme}
spec:
  stream: events
  start: earliest
  filter: event.type == "track" && event.event == "Booking Completed"
  transform: {jq: '{id: .messageId, user: .userId, total: .properties.total}'}
  format: json
  sink:
    http:
      url: https://crm.acme.example/hooks
      method: POST
      headers: [{name: x-api-key, valueFrom: {secretKeyRef: {name: crm, key: token}}}]
      signing: {secretRef: {name: crm, key: secret}}
  delivery: {batch: {events: 500, bytes: 1Mi, wait: 1s}, retry: {for: 72h}, order: PerKey}
  replay: {id: fix-1, from: 2026-11-01T00:00:00Z, only: DeadLetters}
  replicas: 1
"""


def document(kind: str, spec: object) -> Document:
    version = "trackmate.io/v1alpha1"
    return {"apiVersion": version, "kind": kind, "metadata": METADATA[kind], "spec": spec}


def affiliate(spec: object) -> Affiliate:
    made = parse(document("Affiliate", spec))
    assert isinstance(made, Affiliate)
    return made


def pipeline(**spec: object) -> Pipeline:
    made = parse(document("Pipeline", {"stream": "events", "sink": {"stdout": {}}, **spec}))
    assert isinstance(made, Pipeline)
    return made


def faults(manifest: object) -> tuple[Fault, ...]:
    with pytest.raises(Faulty) as caught:
        parse(manifest)
    return caught.value.faults


@pytest.mark.parametrize(("kind", "spec", "expected"), CASES)
def test_everything_wrong_is_said_at_once(kind: str, spec: object, expected: list[str]) -> None:
    assert [str(fault) for fault in faults(document(kind, spec))] == expected


@pytest.mark.parametrize(
    ("manifest", "expected"),
    [
        (None, ["None is not a manifest; begin with apiVersion"]),
        ({}, ["kind: 'kind' is missing; add it, like kind: Affiliate"]),
        (
            {"kind": "afiliate"},
            ["kind: 'afiliate' is not a kind of Trackmate; did you mean 'Affiliate'?"],
        ),
        (
            {"kind": ["Pod"]},
            ["kind: ['Pod'] is not a kind of Trackmate; write Affiliate or Pipeline"],
        ),
        (
            {"apiVersion": "trackmate.io/v1", "kind": "Affiliate", "metadata": {}, "spce": {}},
            [
                "apiVersion: 'trackmate.io/v1' is not possible here; write 'trackmate.io/v1alpha1'",
                "metadata.name: 'name' is missing; add it, like name: acme",
                "spce: unknown field 'spce'; did you mean 'spec'?",
            ],
        ),
        (
            {
                "apiVersion": "trackmate.io/v1alpha1",
                "kind": "Pipeline",
                "metadata": {"name": "store"},
            },
            [
                (
                    "metadata.namespace: 'namespace' is missing; "
                    "add it, like namespace: trackmate-acme"
                ),
                "spec: 'spec' is missing; add it, like spec: {stream: events, sink: {stdout: {}}}",
                "metadata.name: 'store' is the built-in pipeline; choose another name",
            ],
        ),
        (
            {**document("Affiliate", {}), "metadata": {"name": "trackmate"}},
            ["metadata.name: 'trackmate' is the platform's own name; choose another"],
        ),
        (
            {**document("Affiliate", {}), "metadata": {"name": "a" * 41}},
            [f"metadata.name: '{'a' * 41}' has 41 characters; write 40 or fewer"],
        ),
    ],
)
def test_a_wrong_frame_is_said_too(manifest: object, expected: list[str]) -> None:
    assert [str(fault) for fault in faults(manifest)] == expected


@pytest.mark.parametrize("spec", [{}, None])
def test_an_empty_spec_is_a_complete_affiliate(spec: object) -> None:
    made = affiliate(spec)

    assert made.spec.streams == (Stream(name="events"),)
    assert made.spec.ingest.keys == (Key(name="web", use="Browser"),)
    assert (made.name, made.namespace) == ("acme", "trackmate-acme")


def test_the_defaults_are_the_promised_ones() -> None:
    [stream], limits = affiliate({}).spec.streams, affiliate({}).spec.ingest.limits

    assert (stream.partitions, stream.retention_s) == (6, 604_800)
    assert (stream.partition_by, stream.id_from) == (("anonymousId", "userId"), "messageId")
    assert (limits.requests_per_second, limits.bytes_per_second) == (2_000, 10 * 2**20)
    assert (limits.event_bytes, limits.body_bytes) == (64 * 2**10, 512 * 2**10)
    assert (limits.batch_events, limits.body_timeout_s) == (1_000, 10)


def test_the_designed_manifests_are_taken() -> None:
    tenant, crm = map(parse, yaml.safe_load_all(DESIGNED))

    assert isinstance(tenant, Affiliate)
    assert isinstance(crm, Pipeline)
    assert (tenant.spec.store.memory_bytes, tenant.spec.store.expiry_s) == (2**28, 400 * 86_400)
    assert crm.spec.replay
    assert crm.spec.replay.since == datetime(2026, 11, 1, tzinfo=UTC)
    assert crm.spec.delivery.retry.for_s == 72 * 3_600


@pytest.mark.parametrize(
    "sink",
    [
        {"http": {"url": "https://crm.acme.example/hooks?v=1"}},
        {"postgres": {"connectionSecretRef": {"name": "db", "key": "url"}, "table": "events"}},
        {"kafka": {"bootstrapServers": "a:9092,b:9092", "topic": "t"}},
        {"files": {"path": "/data/out", "rotate": {"bytes": "64Mi", "every": "1h"}}},
        {"couchbase": {}},
        {"stdout": {}},
    ],
)
def test_every_sink_is_taken(sink: Document) -> None:
    [name] = sink

    assert getattr(pipeline(sink=sink).spec.sink, name) is not None


def test_what_the_api_server_adds_is_passed_over() -> None:
    served = document("Affiliate", {"id": None, "streams": [{"name": "events", "idFrom": None}]})
    served["metadata"] = {**METADATA["Affiliate"], "uid": "5f", "managedFields": [{}]}
    served["status"] = {"conditions": []}

    assert parse(MappingProxyType(served)) == affiliate({})


def test_a_namespace_of_its_own_is_kept() -> None:
    assert affiliate({"namespace": "acme-prod"}).namespace == "acme-prod"


@pytest.mark.parametrize("start", ["earliest", "latest"])
def test_a_start_is_a_word(start: str) -> None:
    assert pipeline(start=start).spec.start == start


def test_a_start_is_a_time() -> None:
    start = pipeline(start="2026-11-01T02:00:00+02:00").spec.start

    assert start == datetime(2026, 11, 1, tzinfo=UTC)


def test_a_parsed_manifest_cannot_be_changed() -> None:
    made = affiliate({})

    with pytest.raises(ValidationError):
        made.spec.deletion_policy = "Delete"
    assert hash(made) == hash(affiliate({}))


MISPLACED = [
    {"sink": {"http": {"url": "https://me:hunter2@a.example"}}},
    {"sink": {"http": {"url": "https://a.example", "headers": "k=hunter2"}}},
    {"sink": {"http": {"url": "https://a.example", "headers": ["hunter2"]}}},
    {"sink": {"http": {"url": "https://a.example", "signing": "hunter2"}}},
    {"sink": {"http": {"url": "https://a.example", "signing": {"secretRef": "hunter2"}}}},
    {
        "sink": {
            "http": {"url": "https://a.example", "headers": [{"name": "k", "value": "hunter2 "}]}
        }
    },
    {
        "sink": {
            "http": {"url": "https://a.example", "headers": [{"name": "k", "valueFrom": "hunter2"}]}
        }
    },
    {"sink": {"postgres": {"connectionSecretRef": "postgres://me:hunter2@db/x", "table": "t"}}},
    {
        "sink": {
            "kafka": {"bootstrapServers": "a:1", "topic": "t", "credentialsSecretRef": "hunter2"}
        }
    },
    {"sink": {"stdout": {"password": "hunter2"}}},
]


def test_what_is_shown_of_a_manifest_has_no_secret() -> None:
    header = {"name": "authorization", "value": "hunter2"}
    made = pipeline(sink={"http": {"url": "https://a.example", "headers": [header]}})

    assert made.spec.sink.http
    assert "hunter2" not in repr(made) + str(made)
    assert "hunter2" not in repr(made.spec.sink.http.headers)


@pytest.mark.parametrize("spec", MISPLACED)
def test_no_fault_repeats_a_misplaced_secret(spec: Document) -> None:
    found = faults(document("Pipeline", {"stream": "events", **spec}))

    assert "hunter2" not in str(found)


TEXT = st.text(alphabet="aZ0 .-_é\n\x00")  # of which no word of JARGON can be made
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
JARGON = ("Input should", "pydantic", "valid ", "type=", "Extra inputs", "Field required", "object")


def places(value: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    children: Iterator[tuple[Any, Any]] = iter(())
    if isinstance(value, Mapping):
        children = iter(value.items())
    if isinstance(value, list):
        children = iter(enumerate(value))
    for name, child in children:
        yield from places(child, (*path, name))


def replaced(value: Any, path: tuple[Any, ...], junk: object) -> Any:
    if not path:
        return junk
    first, *rest = path
    copy = list(value) if isinstance(value, list) else dict(value)
    copy[first] = replaced(value[first], tuple(rest), junk)
    return copy


@given(data=st.data(), manifest=st.sampled_from(list(yaml.safe_load_all(DESIGNED))), junk=JUNK)
def test_whatever_stands_anywhere_is_taken_or_said_in_our_words(
    data: st.DataObject, manifest: Document, junk: object
) -> None:
    path = data.draw(st.sampled_from(list(places(manifest))))

    said = verdict(replaced(manifest, path, junk)).replace(repr(junk), "")

    assert not [word for word in JARGON if word in said]


def verdict(manifest: object) -> str:
    try:
        return f"taken: {parse(manifest).name}"
    except Faulty as faulty:
        return str(faulty)


def models(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        for field in annotation.model_fields.values():
            yield from models(field.annotation)
    for inner in get_args(annotation):
        yield from models(inner)


@pytest.mark.parametrize("model", dict.fromkeys([*models(Affiliate), *models(Pipeline)]))
def test_every_required_field_has_an_example(model: type[BaseModel]) -> None:
    for name, field in model.model_fields.items():
        assert not field.is_required() or field.examples, name
