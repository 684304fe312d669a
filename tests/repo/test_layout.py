"""
The repository about itself: where things may stand, and that what it says of itself is there.
"""

import ast
import re
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from needs import NEEDS
from trackmate.dev.instance import Instance
from trackmate.dev.pipeline_metrics import PipelineMetrics
from trackmate_ingest.kafka_figures import KafkaFigures
from trackmate_ingest.metrics import Metrics

ROOT = Path(__file__).parents[2]
PAGES = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    *sorted(str(page.relative_to(ROOT)) for page in (ROOT / "docs").glob("*.md")),
]


def tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", *patterns],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    return [ROOT / name for name in listed.splitlines() if (ROOT / name).is_file()]


def test_nothing_can_be_imported_from_beside_src() -> None:
    """A Python file right under operator/ would shadow the standard library's module."""
    parts = (
        "contract",
        "programs",
        "operator",
        "services",
        "services/ingest",
        "services/consume",
        "cli",
    )
    assert [file for part in parts for file in (ROOT / part).glob("*.py")] == []


def test_no_test_folder_is_a_package() -> None:
    assert [str(file) for file in tracked("tests") if file.name == "__init__.py"] == []


def test_no_module_has_the_name_of_one_of_the_standard_library() -> None:
    modules = [file.stem for file in tracked("tests/harness/*.py")]
    assert not set(modules) & sys.stdlib_module_names


def test_tests_are_skipped_for_a_need_of_the_list_alone() -> None:
    """`pytest.mark.needs` is the one way, so that `make test` can name what was not run."""
    names = {"skip", "skipif", "xfail", "importorskip"}
    found = [
        f"{file.relative_to(ROOT)}:{node.lineno}"
        for file in tracked("tests/*.py")
        if file.name != "conftest.py"
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in names and "pytest" in ast.unparse(node)
    ]
    assert found == []


def test_every_need_is_of_the_list() -> None:
    used = {
        argument.value
        for file in tracked("tests/*.py")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("mark.needs")
        for argument in node.args
        if isinstance(argument, ast.Constant)
    }
    assert used <= set(NEEDS)
    assert used == set(NEEDS), "a reason that no test gives any more"


@pytest.mark.parametrize("page", PAGES)
def test_every_link_between_pages_leads_somewhere(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text)
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not ((ROOT / page).parent / link).exists()] == []


@pytest.mark.parametrize("page", ["docs/guarantees.md", "docs/requirements.md", "ARCHITECTURE.md"])
def test_every_test_and_folder_that_a_page_names_exists(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    named = re.findall(r"`([\w-]+/[\w./-]*)`", text)
    assert named
    assert [name for name in named if not is_there(name)] == []


def is_there(name: str) -> bool:
    """A path, or the end of one with what is between `services` and a module left out."""
    if (ROOT / name).exists():
        return True
    wanted = Path(name).parts
    return any(
        file.name == wanted[-1] and all(part in str(file.parent) for part in wanted[:-1])
        for file in tracked()
    )


def test_every_command_is_in_the_documentation() -> None:
    source = (ROOT / "cli/src/trackmate/main.py").read_text("utf-8")
    commands = re.findall(r"@app\.command\((?:\"([\w-]+)\")?\)\ndef (\w+)", source)
    text = "".join((ROOT / page).read_text("utf-8") for page in PAGES)
    missing = [name or function for name, function in commands]
    assert len(missing) == 12
    assert [name for name in missing if not re.search(rf"trackmate [\w| ]*{name}", text)] == []


def test_every_metric_is_in_the_documentation() -> None:
    text = (ROOT / "docs/embedded.md").read_text("utf-8")
    nobody = SimpleNamespace(affiliates={})
    families = [*Metrics().collect(), *PipelineMetrics(cast("Instance", nobody)).collect()]
    metrics = [family.name for family in families]
    assert [name for name in metrics if name not in text] == []


def test_every_metric_of_ingest_on_kafka_is_in_the_documentation() -> None:
    text = (ROOT / "docs/ingest.md").read_text("utf-8")
    source = (ROOT / "services/ingest/src/trackmate_ingest/program.py").read_text("utf-8")
    metrics = [family.name for family in KafkaFigures("acme").collect()]
    metrics += re.findall(r'"(trackmate_ingest_\w+)"', source)
    assert len(metrics) == 7
    assert [name for name in metrics if name not in text] == []


def test_the_shipped_example_is_the_example() -> None:
    shipped = ROOT / "cli/src/trackmate/examples/01-first-affiliate"
    assert shipped.resolve() == ROOT / "examples/01-first-affiliate"


def test_what_is_others_is_here_unchanged() -> None:
    """Files of others stand in `vendor/`, with a page that says what and with which digests."""
    vendored = ROOT / "cli/src/trackmate/pages/vendor"
    for page in vendored.glob("*/README.md"):
        lines = re.findall(r"^\| (\S+) \| (\w{64}) \|$", page.read_text("utf-8"), re.MULTILINE)
        there = {
            file.name: sha256(file.read_bytes()).hexdigest()
            for file in page.parent.iterdir()
            if file.name not in {"README.md", "LICENSE"}
        }
        assert dict(lines) == there
        assert (page.parent / "LICENSE").exists()
