"""
What the schemas of the CRDs say is what the API server does; and whatever a manifest holds, our
parser takes it when the API server does.
"""

from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from admission import Admission, Manifest, ours
from cluster_access import CRDS

pytestmark = pytest.mark.needs("cluster")

Steps = tuple[str | int, ...]

TEXTUAL = {"object", "array", "string"}
WHOLE = list(yaml.safe_load_all(Path(__file__).with_name("whole.yaml").read_text()))
FAULTS = yaml.safe_load((Path(__file__).parents[1] / "contract" / "faults.yaml").read_text())


@cache
def schema(kind: str) -> Manifest:
    [version] = yaml.safe_load((CRDS / f"{kind.lower()}.yaml").read_text())["spec"]["versions"]
    found: Manifest = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return found


def places(value: Any, node: Manifest, steps: Steps = ()) -> Iterator[tuple[Steps, Manifest]]:
    """Where something stands in a spec, and the schema of what stands there."""
    yield steps, node
    if isinstance(value, dict):
        for name, child in value.items():
            yield from places(child, node["properties"][name], (*steps, name))
    if isinstance(value, list):
        for number, child in enumerate(value):
            yield from places(child, node["items"], (*steps, number))


def at(spec: Any, steps: Steps) -> Any:
    for step in steps:
        spec = spec[step]
    return spec


def changed(spec: Any, steps: Steps, value: Any) -> Any:
    """A copy with another value there."""
    if not steps:
        return value
    copy = deepcopy(spec)
    at(copy, steps[:-1])[steps[-1]] = value
    return copy


def without(value: Manifest, field: str) -> Manifest:
    return {name: kept for name, kept in value.items() if name != field}


def path(steps: Steps) -> str:
    parts = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    return "".join(("spec", *parts))


OUTSIDE: dict[str, tuple[Callable[[Any, Any], Any], str]] = {
    "type": (lambda kind, value: 7 if kind in TEXTUAL else {}, "must be of type"),
    "enum": (lambda enum, value: "Nonsense", "Unsupported value"),
    "pattern": (lambda pattern, value: "\0", "should match"),
    "maxLength": (lambda most, value: "a" * (most + 1), "Too long"),
    "minimum": (lambda least, value: least - 1, "should be greater than or equal to"),
    "maximum": (lambda most, value: most + 1, "should be less than or equal to"),
    "minItems": (lambda least, value: value[: least - 1], "should have at least"),
    "maxItems": (lambda most, value: value * (most + 1), "Too many"),
    "required": (lambda names, value: without(value, names[-1]), "Required value"),
    "properties": (lambda fields, value: {**value, "nonsense": 1}, "unknown field"),
}
"""For each fact of a schema, what it forbids in the place of a value, and the server's words."""


@pytest.mark.parametrize("fact", OUTSIDE)
def test_every_fact_of_the_schema_is_kept(admission: Admission, fact: str) -> None:
    outside, words = OUTSIDE[fact]
    tried = 0
    for whole in WHOLE:
        for steps, node in places(whole["spec"], schema(whole["kind"])):
            if fact in node:
                value = outside(node[fact], at(whole["spec"], steps))
                manifest = admission.manifest(whole["kind"], changed(whole["spec"], steps, value))
                said = admission.create(manifest)
                assert any(words in fault and path(steps) in fault for fault in said), (steps, said)
                assert ours(manifest), (steps, value)
                tried += 1
    assert tried


def test_the_whole_manifests_say_every_field(admission: Admission) -> None:
    def fields(node: Manifest, above: str) -> Iterator[str]:
        for name, child in node.get("properties", {}).items():
            yield f"{above}.{name}"
            yield from fields(child.get("items", child), f"{above}.{name}")

    said = {
        ".".join([whole["kind"], *(str(step) for step in steps if isinstance(step, str))])
        for whole in WHOLE
        for steps, _ in places(whole["spec"], schema(whole["kind"]))
    }
    for whole in WHOLE:
        assert admission.create(admission.manifest(whole["kind"], whole["spec"])) == []
        assert not set(fields(schema(whole["kind"]), whole["kind"])) - said


@pytest.mark.parametrize(
    ("kind", "spec"), [(kind, case["spec"]) for kind in FAULTS for case in FAULTS[kind]]
)
def test_what_the_parser_refuses_the_api_server_refuses(
    admission: Admission, kind: str, spec: Any
) -> None:
    manifest = admission.manifest(kind, spec)
    acme = yaml.safe_dump(spec).replace("acme-keys", f"{manifest['metadata']['name']}-keys")
    manifest["spec"] = yaml.safe_load(acme)

    assert ours(manifest)
    assert admission.create(manifest)


TEXT = st.text(alphabet="aZ0 .-_é\n\x00")
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


def lenient(value: Any) -> bool:
    """
    Where one of them is more lenient, and may be: the API server keeps 6.0 as 6, and the parser
    passes over a null whatever the field's name.
    """
    if isinstance(value, dict):
        return None in value.values() or any(map(lenient, value.values()))
    if isinstance(value, list):
        return any(map(lenient, value))
    return isinstance(value, float) and value.is_integer()


@settings(max_examples=400, deadline=None)
@given(data=st.data(), whole=st.sampled_from(WHOLE), junk=JUNK)
def test_whatever_stands_anywhere_both_take_it_or_neither(
    admission: Admission, data: st.DataObject, whole: Manifest, junk: Any
) -> None:
    assume(not lenient(junk))
    found = [steps for steps, _ in places(whole["spec"], schema(whole["kind"]))]
    spec = changed(whole["spec"], data.draw(st.sampled_from(found)), junk)
    manifest = admission.manifest(whole["kind"], spec)

    assert bool(admission.create(manifest)) == bool(ours(manifest)), ours(manifest)


@settings(max_examples=400, deadline=None)
@given(data=st.data(), whole=st.sampled_from(WHOLE))
def test_whatever_has_the_form_both_take_it_or_neither(
    admission: Admission, data: st.DataObject, whole: Manifest
) -> None:
    found = places(whole["spec"], schema(whole["kind"]))
    formed = [(steps, node["pattern"]) for steps, node in found if "pattern" in node]
    steps, pattern = data.draw(st.sampled_from(formed))
    value = data.draw(st.from_regex(pattern, fullmatch=True))
    manifest = admission.manifest(whole["kind"], changed(whole["spec"], steps, value))

    assert bool(admission.create(manifest)) == bool(ours(manifest)), ours(manifest)


TIMES = st.builds(
    "{}-{}-{}{}{}:{}:{}{}{}".format,
    st.sampled_from(["1970", "2026", "2028"]),
    *[st.sampled_from(["00", "01", "02", "12", "13", "23", "24", "29", "30", "31", "59", "60"])]
    * 2,
    st.sampled_from("Tt"),
    *[st.sampled_from(["00", "23", "24", "59", "60", "61"])] * 3,
    st.sampled_from(["", ".0", ".123456"]),
    st.sampled_from(["Z", "z", "+00:00", "-23:59", "+24:00", "+02:60"]),
)


@settings(max_examples=400, deadline=None)
@given(time=TIMES, place=st.sampled_from(["start", "replay"]))
def test_a_time_is_one_for_both_or_for_neither(admission: Admission, time: str, place: str) -> None:
    value = time if place == "start" else {"id": "r1", "from": time}
    manifest = admission.manifest(
        "Pipeline", {"stream": "events", "sink": {"stdout": {}}, place: value}
    )

    assert bool(admission.create(manifest)) == bool(ours(manifest)), ours(manifest)
