"""
The CRDs are the one source of the manifests' fields; the models must say the same, field by field:
names, types, required ones, enums, patterns, bounds and defaults.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from trackmate_contract.affiliate import Affiliate
from trackmate_contract.manifest import parse
from trackmate_contract.pipeline import Pipeline
from trackmate_contract.quantity import DURATION, octets, seconds

Schema = dict[str, Any]

CRDS = Path(__file__).parents[2] / "crds"
KINDS: dict[str, type[BaseModel]] = {"affiliate": Affiliate, "pipeline": Pipeline}
FACTS = (
    "type",
    "pattern",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "enum",
)
MANIFESTS: dict[str, Schema] = {
    "affiliate": {
        "apiVersion": "trackmate.io/v1alpha1",
        "kind": "Affiliate",
        "metadata": {"name": "acme"},
        "spec": {},
    },
    "pipeline": {
        "apiVersion": "trackmate.io/v1alpha1",
        "kind": "Pipeline",
        "metadata": {"name": "to-crm", "namespace": "trackmate-acme"},
        "spec": {
            "stream": "events",
            "sink": {"files": {"path": "/data/out"}},
            "delivery": {"batch": {}},
        },
    },
}


def crd(kind: str) -> Schema:
    schema: Schema = yaml.safe_load((CRDS / f"{kind}.yaml").read_text())
    return schema


def schema_of(kind: str) -> Schema:
    [version] = crd(kind)["spec"]["versions"]
    schema: Schema = version["schema"]["openAPIV3Schema"]
    return schema


def model_schema(kind: str) -> Schema:
    """The model's schema in the CRD's terms: no references, and nothing about null."""
    schema = KINDS[kind].model_json_schema()
    definitions = schema.pop("$defs")

    def plain(node: Any) -> Any:
        if isinstance(node, list):
            return [plain(item) for item in node]
        if not isinstance(node, dict):
            return node
        if {"type": "null"} in node.get("anyOf", ()):
            [present] = [branch for branch in node["anyOf"] if branch != {"type": "null"}]
            node = {name: value for name, value in node.items() if name != "anyOf"} | present
        node = {**node, **definitions.get(node.get("$ref", "").removeprefix("#/$defs/"), {})}
        if "const" in node:
            node["enum"] = [node["const"]]
        return {name: plain(value) for name, value in node.items()}

    plainly: Schema = plain(schema)
    return plainly


def below(node: Schema) -> Iterator[tuple[str, Schema]]:
    yield from node.get("properties", {}).items()
    if "items" in node:
        yield "[]", node["items"]


def nodes(node: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    yield path, node
    for name, child in below(node):
        yield from nodes(child, f"{path}.{name}")


def complete(schema: Schema, value: Any) -> Any:
    """The value as the API server completes it."""
    if isinstance(value, list):
        return [complete(schema["items"], item) for item in value]
    if not isinstance(value, dict):
        return value
    fields = dict(below(schema))
    defaults = {name: field["default"] for name, field in fields.items() if "default" in field}
    return {name: complete(fields[name], item) for name, item in (defaults | value).items()}


def measured(schema: Schema, value: Any) -> Any:
    """The value with its sizes and durations as numbers, and nothing in place of null."""
    if isinstance(value, list):
        return [measured(schema["items"], item) for item in value]
    if isinstance(value, dict):
        fields = dict(below(schema))
        return {n: measured(fields[n], item) for n, item in value.items() if item is not None}
    if isinstance(value, str) and "anyOf" in schema:
        return octets(value)
    if isinstance(value, str) and schema.get("pattern") == DURATION:
        return seconds(value)
    return value


def ranged(model: Schema) -> Schema:
    """The CEL rule of a duration or size, whose bounds no structural schema can say."""
    _, least, _, most = model["x-range"].rstrip(".").split()
    if model["pattern"] == DURATION:
        units = "{'s': 1, 'm': 60, 'h': 3600, 'd': 86400}[self.substring(size(self) - 1)]"
        rule = f"[int(self.substring(0, size(self) - 1)) * {units}] "
        rule += f".all(s, s >= {seconds(least)} && s <= {seconds(most)})"
        return {"message": f"write a duration from {least} to {most}", "rule": rule}
    rule = f"quantity(string(self)).compareTo(quantity('{least}')) >= 0 "
    rule += f"&& quantity(string(self)).compareTo(quantity('{most}')) <= 0"
    return {"message": f"write a size from {least} to {most}", "rule": rule}


def default(schema: Schema) -> Any:
    return measured(schema, complete(schema, schema.get("default")))


def unlike(model: Schema, source: Schema, path: str) -> Iterator[str]:
    """What a duration or size of the CRD does not say of its bounds."""
    if not source["description"].endswith(model["x-range"]):
        yield f"{path}: the CRD's description does not end with {model['x-range']!r}"
    if source.get("x-kubernetes-validations") != [ranged(model)]:
        yield f"{path}: the CRD's only rule is not {ranged(model)}"


def differences(model: Schema, source: Schema, path: str) -> Iterator[str]:
    for fact in FACTS:
        if model.get(fact) != source.get(fact):
            yield f"{path}: {fact} is {model.get(fact)!r}, in the CRD {source.get(fact)!r}"
    if sorted(model.get("required", ())) != sorted(source.get("required", ())):
        yield f"{path}: required {model.get('required')}, in the CRD {source.get('required')}"
    if default(model) != default(source):
        yield f"{path}: default {default(model)!r}, in the CRD {default(source)!r}"
    if "x-range" in model:
        yield from unlike(model, source, path)
    ours, theirs = dict(below(model)), dict(below(source))
    for name in ours.keys() ^ theirs.keys():
        yield f"{path}.{name}: only in the {'model' if name in ours else 'CRD'}"
    for name in ours.keys() & theirs.keys():
        yield from differences(ours[name], theirs[name], f"{path}.{name}")


@pytest.mark.parametrize("kind", KINDS)
def test_the_models_are_what_the_crds_say(kind: str) -> None:
    model = model_schema(kind)["properties"]["spec"]
    source = schema_of(kind)["properties"]["spec"]

    assert list(differences(model, source, "spec")) == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_models_take_the_crds_names_and_versions(kind: str) -> None:
    definition, model = crd(kind)["spec"], model_schema(kind)["properties"]
    name = schema_of(kind)["properties"]["metadata"]["properties"]["name"]
    version = f"{definition['group']}/{definition['versions'][0]['name']}"

    assert model["kind"]["const"] == definition["names"]["kind"]
    assert model["apiVersion"]["const"] == version
    assert list(differences(model["metadata"]["properties"]["name"], name, "name")) == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fact", [*FACTS, "required", "default"])
def test_no_fact_can_be_left_out_on_one_side(kind: str, fact: str) -> None:
    model, source = model_schema(kind)["properties"]["spec"], schema_of(kind)["properties"]["spec"]

    for path, node in nodes(source, "spec"):
        if fact in node:
            kept = node.pop(fact)
            assert any(found.startswith(f"{path}:") for found in differences(model, source, "spec"))
            node[fact] = kept


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_api_server_fills_in_changes_nothing(kind: str) -> None:
    manifest = MANIFESTS[kind]
    spec = complete(schema_of(kind)["properties"]["spec"], manifest["spec"])

    assert spec != manifest["spec"]
    assert parse({**manifest, "spec": spec}) == parse(manifest)


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_described_and_bounded(kind: str) -> None:
    for path, node in nodes(schema_of(kind), kind):
        implicit = path == f"{kind}.metadata"  # the API server allows no description there
        bounded = {
            "string": {"maxLength", "enum"},
            "integer": {"minimum"},
            "array": {"maxItems"},
        }.get(node.get("type", ""), {"type", "maxLength"})
        fixed = path in (f"{kind}.apiVersion", f"{kind}.kind")
        assert implicit or node.get("description"), path
        assert fixed or bounded & node.keys(), path


@pytest.mark.parametrize("kind", KINDS)
def test_lists_of_named_things_are_maps(kind: str) -> None:
    lists = {p: n for p, n in nodes(schema_of(kind), kind) if n.get("type") == "array"}

    for path, node in lists.items():
        named = "name" in node["items"].get("required", ())
        if named and not path.endswith(".subjects"):  # a Group and a User may share a name
            assert "name" in node["x-kubernetes-list-map-keys"], path
        assert node["x-kubernetes-list-type"] in ("map", "set", "atomic"), path


def test_the_kinds_are_scoped_and_named_for_the_command_line() -> None:
    affiliate, pipeline = crd("affiliate")["spec"], crd("pipeline")["spec"]

    assert (affiliate["scope"], affiliate["names"]["shortNames"]) == ("Cluster", ["aff"])
    assert (pipeline["scope"], pipeline["names"]["shortNames"]) == ("Namespaced", ["pl"])
    assert affiliate["names"]["categories"] == pipeline["names"]["categories"] == ["trackmate"]


def test_a_pipeline_can_be_scaled() -> None:
    schema, subresources = schema_of("pipeline"), crd("pipeline")["spec"]["versions"][0]

    assert subresources["subresources"]["scale"] == {
        "specReplicasPath": ".spec.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    }
    assert {"replicas", "selector"} <= schema["properties"]["status"]["properties"].keys()
