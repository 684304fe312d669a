"""
`trackmate try`: each step of each event, all faults of a file at once, and nothing that drives the
terminal.
"""

import json
from pathlib import Path

import pytest

from trackmate.trying import Untriable, try_out

PIPELINE = """\
apiVersion: trackmate.io/v1alpha1
kind: Pipeline
metadata: {name: bookings, namespace: trackmate-acme}
spec:
  stream: events
  filter: FILTER
  transform: {jq: 'PROGRAM'}
  format: FORMAT
  sink: {stdout: {}}
"""


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str]) -> pytest.CaptureFixture[str]:
    return capsys


def pipeline(folder: Path, filter_: str, program: str, form: str = "json") -> Path:
    text = PIPELINE.replace("FILTER", filter_).replace("PROGRAM", program).replace("FORMAT", form)
    path = folder / "bookings.yaml"
    path.write_text(text, "utf-8")
    return path


def events(folder: Path, *texts: str) -> str:
    path = folder / "events.json"
    path.write_text("\n".join(texts), "utf-8")
    return str(path)


def steps(
    path: Path, event_file: str, shown: pytest.CaptureFixture[str]
) -> list[dict[str, object]]:
    try_out(path, event_file, as_json=True)
    found: list[dict[str, object]] = json.loads(shown.readouterr().out)
    return found


def test_each_event_says_how_far_it_came_and_why(
    tmp_path: Path, shown: pytest.CaptureFixture[str]
) -> None:
    path = pipeline(
        tmp_path, "event.a > 0", "if .a == 1 then {a} elif .a == 2 then empty else 1 + {} end"
    )
    found = steps(path, events(tmp_path, '{"a":1}', '{"a":2}', '{"a":3}', '{"a":0}', "{}"), shown)

    assert [
        (one.get("filter"), one.get("written"), one.get("filtered"), one.get("dead", {}) != {})
        for one in found
    ] == [
        ("true", ['{"a":1}'], None, False),
        ("true", None, "empty", False),
        ("true", None, None, True),
        ("false", None, "false", False),
        ("missing", None, "missing", False),
    ]


def test_the_answer_is_no_when_an_event_would_be_a_dead_letter(tmp_path: Path) -> None:
    path = pipeline(tmp_path, "event.a > 0", ".a", "csv")

    assert try_out(path, events(tmp_path, '{"a":0}'), as_json=False)
    assert not try_out(path, events(tmp_path, '{"a":1}'), as_json=False)


def test_the_written_lines_begin_with_the_columns(
    tmp_path: Path, shown: pytest.CaptureFixture[str]
) -> None:
    path = pipeline(tmp_path, "1 == 1", "{a, b: .a}", "csv")

    assert steps(path, events(tmp_path, '{"a":"=1"}'), shown)[0]["written"] == ["a,b", "'=1,'=1"]


def test_an_event_over_several_lines_is_one_event(
    tmp_path: Path, shown: pytest.CaptureFixture[str]
) -> None:
    path = pipeline(tmp_path, "1 == 1", ".")

    assert len(steps(path, events(tmp_path, "{", '"a": 1', "}"), shown)) == 1


def test_control_characters_are_shown_and_not_obeyed(
    tmp_path: Path, shown: pytest.CaptureFixture[str]
) -> None:
    path = pipeline(tmp_path, "1 == 1", ".a", "text")
    try_out(path, events(tmp_path, '{"a":"\\u001b[2J"}'), as_json=False)

    out = shown.readouterr().out
    assert "\x1b" not in out
    assert "\\x1b[2J" in out


def test_all_faults_of_the_expressions_are_said_with_line_and_path(tmp_path: Path) -> None:
    path = pipeline(tmp_path, "event.a ==", "foo")

    with pytest.raises(Untriable) as caught:
        try_out(path, events(tmp_path, "{}"), as_json=False)

    first, second = str(caught.value).splitlines()[0], str(caught.value).splitlines()[-1]
    assert first.startswith("bookings.yaml:6: spec.filter: line 1, column ")
    assert second.startswith("bookings.yaml:7: spec.transform.jq: line 1, column 1: ")


def test_all_faults_of_the_manifest_are_said_at_once(tmp_path: Path) -> None:
    path = pipeline(tmp_path, "1 == 1", ".", "xml")
    path.write_text(path.read_text("utf-8").replace("stream: events", "stream: Events!"), "utf-8")

    with pytest.raises(Untriable, match=r"(?s)spec\.stream.*spec\.format"):
        try_out(path, events(tmp_path, "{}"), as_json=False)


def test_a_line_that_is_no_json_is_said_with_its_number(tmp_path: Path) -> None:
    path = pipeline(tmp_path, "1 == 1", ".")

    with pytest.raises(Untriable, match=r"events\.json:2: is not JSON"):
        try_out(path, events(tmp_path, "{}", "{a"), as_json=False)


def test_a_file_without_events_or_pipelines_is_refused(tmp_path: Path) -> None:
    path = pipeline(tmp_path, "1 == 1", ".")
    with pytest.raises(Untriable, match="holds no event"):
        try_out(path, events(tmp_path, ""), as_json=False)

    path.write_text("apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n", "utf-8")
    with pytest.raises(Untriable, match="holds no Pipeline"):
        try_out(path, events(tmp_path, "{}"), as_json=False)
