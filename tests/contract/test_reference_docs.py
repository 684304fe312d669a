"""The reference in `docs/` says what the CRDs say."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]


def test_the_reference_is_up_to_date() -> None:
    command = [sys.executable, str(ROOT / "docs" / "generate.py"), "--check"]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("kind", ["affiliate", "pipeline"])
def test_the_reference_names_every_field(kind: str) -> None:
    [version] = yaml.safe_load((ROOT / "crds" / f"{kind}.yaml").read_text())["spec"]["versions"]
    page = (ROOT / "docs" / f"reference-{kind}.md").read_text()

    def missing(node: dict[str, dict[str, object]]) -> list[str]:
        fields = node.get("properties") or node.get("items", {}).get("properties") or {}
        assert isinstance(fields, dict)
        absent = [name for name in fields if f"| `{name}` |" not in page]
        return absent + [name for child in fields.values() for name in missing(child)]

    assert missing(version["schema"]["openAPIV3Schema"]["properties"]["spec"]) == []
