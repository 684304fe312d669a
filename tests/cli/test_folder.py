"""
The folder that `dev` follows: what each faulty YAML is told, with its line, and that one fault
hides no other.
"""

import re
from pathlib import Path

import pytest

from trackmate.folder import Owner, read_file, read_folder

PAGE = Path(__file__).parents[2] / "docs" / "embedded.md"
ROWS = re.findall(r"^\| `(.+)` \| `(spec[^`]+)`: (.+) \|$", PAGE.read_text("utf-8"), re.MULTILINE)

AFFILIATE = """\
apiVersion: trackmate.io/v1alpha1
kind: Affiliate
metadata: {name: %s}
spec:
  %s
"""


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text, "utf-8")


def test_the_page_has_rows() -> None:
    assert len(ROWS) == 7


@pytest.mark.parametrize(("written", "path", "told"), ROWS)
def test_a_faulty_affiliate_is_told_what_the_page_says(
    tmp_path: Path, written: str, path: str, told: str
) -> None:
    first = AFFILIATE % ("first", "ingest: {hosts: [taken.example.com]}")
    write(tmp_path, "first.yaml", first)
    write(tmp_path, "shop.yaml", AFFILIATE % ("shop", written))

    folder = read_folder(tmp_path)

    [misfit] = folder.misfits
    assert (misfit.path, misfit.message.replace("`", "")) == (path, told.replace("`", ""))
    assert (misfit.file, misfit.line) == ("shop.yaml", 5)
    assert set(folder.affiliates) == {"first"}


def test_all_faults_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    write(tmp_path, "a.yaml", AFFILIATE % ("a1", "streems: []\n  deletionPolicy: Never"))
    write(tmp_path, "b.yaml", "metadata: [")
    write(tmp_path, "c.yaml", AFFILIATE % ("ok", "displayName: Fine"))

    folder = read_folder(tmp_path)

    assert {(misfit.file, misfit.path) for misfit in folder.misfits} == {
        ("a.yaml", "spec.streems"),
        ("a.yaml", "spec.deletionPolicy"),
        ("b.yaml", ""),
    }
    assert set(folder.affiliates) == {"ok"}


@pytest.mark.parametrize(
    "spec",
    ["streems: []", "namespace: shops-ns\n  streems: []", "ingest: {hosts: [taken.example.com]}"],
)
def test_a_pipeline_whose_affiliate_is_faulty_is_told_just_that(tmp_path: Path, spec: str) -> None:
    namespace = "shops-ns" if "shops-ns" in spec else "trackmate-shop"
    write(tmp_path, "first.yaml", AFFILIATE % ("first", "ingest: {hosts: [taken.example.com]}"))
    write(tmp_path, "shop.yaml", AFFILIATE % ("shop", spec))
    write(
        tmp_path,
        "view.yaml",
        "apiVersion: trackmate.io/v1alpha1\nkind: Pipeline\n"
        f"metadata: {{name: view, namespace: {namespace}}}\n"
        "spec: {stream: events, sink: {stdout: {}}}\n",
    )

    folder = read_folder(tmp_path)

    told = [(misfit.file, misfit.path) for misfit in folder.misfits]
    assert [file for file, _ in told] == ["shop.yaml", "view.yaml"]
    assert str(folder.misfits[1]) == (
        "view.yaml:3: metadata.namespace: its affiliate in shop.yaml is faulty; mend that first"
    )
    assert not folder.pipelines
    assert "view.yaml" in folder.broken  # else what runs of it would be stopped


def test_the_same_affiliate_twice_is_a_fault_of_the_second(tmp_path: Path) -> None:
    write(tmp_path, "a.yaml", AFFILIATE % ("acme", "displayName: First"))
    write(tmp_path, "b.yaml", AFFILIATE % ("acme", "displayName: Second"))

    folder = read_folder(tmp_path)

    assert str(folder.misfits[0]) == (
        "b.yaml:3: metadata.name: the affiliate 'acme' is in a.yaml already; remove one of them"
    )
    assert folder.affiliates["acme"].affiliate.spec.display_name == "First"


PIPELINE = """\
apiVersion: trackmate.io/v1alpha1
kind: Pipeline
metadata: {name: to-out, namespace: trackmate-acme}
spec: {stream: events, format: %s, sink: {stdout: {}}}
"""


def test_of_two_of_one_name_the_one_that_runs_stays(tmp_path: Path) -> None:
    for file, shown, form in (("a.yaml", "New", "csv"), ("b.yaml", "Running", "text")):
        affiliate = AFFILIATE % ("acme", f"displayName: {shown}")
        write(tmp_path, file, f"{affiliate}---\n{PIPELINE % form}")

    running = {("acme",): "b.yaml", ("trackmate-acme", "to-out"): "b.yaml"}
    folder = read_folder(tmp_path, running=running)

    assert folder.affiliates["acme"].affiliate.spec.display_name == "Running"
    assert folder.pipelines["trackmate-acme", "to-out"].pipeline.spec.format == "text"
    assert [misfit.message for misfit in folder.misfits] == [
        "the affiliate 'acme' is in b.yaml already; remove one of them",
        "the pipeline 'to-out' is in b.yaml already; remove one of them",
    ]
    assert folder.broken == {"a.yaml"}


def test_of_two_in_one_namespace_the_one_that_runs_stays_and_has_its_pipelines(
    tmp_path: Path,
) -> None:
    write(tmp_path, "a.yaml", AFFILIATE % ("new", "namespace: trackmate-acme"))
    write(tmp_path, "b.yaml", AFFILIATE % ("acme", "displayName: Running"))
    write(tmp_path, "c.yaml", PIPELINE % "csv")

    folder = read_folder(tmp_path, running={("acme",): "b.yaml"})

    [misfit] = folder.misfits
    assert str(misfit) == (
        "a.yaml:5: spec.namespace: the namespace 'trackmate-acme' belongs to the affiliate 'acme' "
        "already; give each affiliate a namespace of its own"
    )
    assert set(folder.affiliates) == {"acme"}
    assert folder.owners["trackmate-acme"].name == "acme"


def test_a_file_alone_cannot_have_the_namespace_of_an_affiliate_that_runs(tmp_path: Path) -> None:
    write(tmp_path, "new.yaml", AFFILIATE % ("new", "namespace: trackmate-acme"))
    owners = {"trackmate-acme": Owner("acme", ("events",))}

    folder = read_file(tmp_path / "new.yaml", owners)

    assert [misfit.path for misfit in folder.misfits] == ["spec.namespace"]
    assert folder.owners == owners


def test_a_namespace_that_its_affiliate_leaves_is_free(tmp_path: Path) -> None:
    moved = AFFILIATE % ("acme", "namespace: elsewhere")
    new = AFFILIATE % ("new", "namespace: trackmate-acme")
    write(tmp_path, "both.yaml", f"{new}---\n{moved}")

    folder = read_file(tmp_path / "both.yaml", {"trackmate-acme": Owner("acme", ("events",))})

    assert folder.misfits == []
    assert {where: owner.name for where, owner in folder.owners.items()} == {
        "trackmate-acme": "new",
        "elsewhere": "acme",
    }


def test_a_key_given_twice_is_a_fault(tmp_path: Path) -> None:
    write(tmp_path, "a.yaml", AFFILIATE % ("acme", "displayName: A\n  displayName: B"))

    assert str(read_folder(tmp_path).misfits[0]) == (
        "a.yaml:6: is not YAML: the key 'displayName' is given twice"
    )


def test_a_time_stays_text_as_kubernetes_reads_it(tmp_path: Path) -> None:
    keys = "ingest: {keys: [{name: web, use: Browser, expires: 2030-01-01T00:00:00Z}]}"
    write(tmp_path, "a.yaml", AFFILIATE % ("acme", keys))

    folder = read_folder(tmp_path)

    assert folder.misfits == []
    assert folder.affiliates["acme"].affiliate.spec.ingest.keys[0].expires is not None


def test_namespaces_and_hidden_files_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    write(tmp_path, ".git/x.yaml", "nonsense: [")
    write(tmp_path, "a.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: x}\n")

    folder = read_folder(tmp_path)

    assert (folder.misfits, folder.notices, folder.affiliates) == ([], [], {})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("kind: [Affiliate]\napiVersion: [x]\n", "kind"),
        ("? [a, b]\n: 1\n", "unhashable key"),
        ("a: &a [*a]\n", "holds itself"),
        ("[" * 5000 + "]" * 5000, "nested too deep"),
        ("apiVersion: v1\nkind: Secret\nmetadata: [x]\n", "['x'] is no mapping"),
        ("apiVersion: v1\nkind: Secret\ndata: {a: '%%'}\n", "is not base64"),
        ("- just\n- a list\n", "is not a manifest"),
        ("\x00", "is not YAML"),
    ],
)
def test_no_odd_document_keeps_the_others_from_being_read(
    tmp_path: Path, text: str, told: str
) -> None:
    write(tmp_path, "odd.yaml", text)
    write(tmp_path, "fine.yaml", AFFILIATE % ("acme", "displayName: Fine"))

    folder = read_folder(tmp_path)

    assert any(told in f"{misfit.path} {misfit.message}" for misfit in folder.misfits) or any(
        told in notice for notice in folder.notices
    )
    assert set(folder.affiliates) == {"acme"}
