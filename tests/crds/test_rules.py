"""
Each CEL rule of the CRDs refuses what is wrong with a sentence that has the cure, and nothing else;
and so does our parser, as far as one manifest alone shows the fault.
"""

from pathlib import Path
from typing import Any

import pytest
import yaml

from admission import Admission, Manifest, ours
from cluster_access import CRDS

pytestmark = pytest.mark.needs("cluster")

RULES: dict[str, list[Manifest]] = yaml.safe_load(
    Path(__file__).with_name("rules.yaml").read_text()
)
CASES = [(kind, case) for kind in RULES for case in RULES[kind]]
GOOD = [(kind, case) for kind, case in CASES if "good" in case]


def named(spec: Any, name: str) -> Any:
    """With the resource's own name where the case says NAME."""
    return yaml.safe_load(yaml.safe_dump(spec).replace("NAME", name))


@pytest.mark.parametrize(("kind", "case"), CASES, ids=[case["says"] for _, case in CASES])
def test_what_is_wrong_is_refused_with_the_cure(
    admission: Admission, kind: str, case: Manifest
) -> None:
    manifest = admission.manifest(kind, case.get("was", case["bad"]), case.get("name"))
    manifest["spec"] = named(manifest["spec"], manifest["metadata"]["name"])

    if "was" in case:
        found = admission.replace(admission.made(manifest, case.get("status")), case["bad"])
    else:
        found = admission.create(manifest)
        assert ours(manifest)

    [fault] = found
    place, _, sentence = case["says"].partition(": ")
    assert fault.startswith(f"{place}: ")
    assert sentence in fault


@pytest.mark.parametrize(("kind", "case"), GOOD, ids=[case["says"] for _, case in GOOD])
def test_what_is_right_is_taken(admission: Admission, kind: str, case: Manifest) -> None:
    manifest = admission.manifest(kind, case.get("was", case["good"]))
    good = named(case["good"], manifest["metadata"]["name"])
    manifest["spec"] = case.get("was", good)

    if "was" in case:
        assert admission.replace(admission.made(manifest, case.get("status")), good) == []
    else:
        assert admission.create(manifest) == []
    assert ours({**manifest, "spec": good}) == []


def rules(node: Any) -> list[str]:
    """The messages of all rules at and below a node of the schema."""
    found = [rule["message"] for rule in node.get("x-kubernetes-validations", ())]
    below = [*node.get("properties", {}).values(), *([node["items"]] if "items" in node else [])]
    return found + [message for child in below for message in rules(child)]


@pytest.mark.parametrize("kind", RULES)
def test_every_rule_has_a_case(kind: str) -> None:
    crd = yaml.safe_load((CRDS / f"{kind.lower()}.yaml").read_text())
    [version] = crd["spec"]["versions"]
    shown = "".join(case["says"] for case in RULES[kind])

    found = rules(version["schema"]["openAPIV3Schema"])

    assert len(found) > 10
    assert [message for message in found if message not in shown] == []
