"""
The log, for programs and for people: what strangers wrote is in it, and makes no line of its own.
"""

import json
import logging

import pytest

import hostile_text
from trackmate_programs.logs import JsonLines, PlainLines


def record(text: str) -> logging.LogRecord:
    """A refusal with the text in its detail, and a fault that says it too."""
    trace = (ValueError, ValueError(text), None)
    made = logging.LogRecord("trackmate", logging.INFO, "here", 1, "refused", (), trace)
    made.fields = {"detail": text}
    return made


@pytest.mark.parametrize("text", hostile_text.EVERY)
def test_a_line_for_programs_is_one_object(text: str) -> None:
    line = JsonLines().format(record(text))

    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["detail"] == text[:500]


@pytest.mark.parametrize("text", hostile_text.EVERY)
def test_a_line_for_people_shows_what_it_does_not_obey(text: str) -> None:
    first, *trace = PlainLines().format(record(text)).split("\n")

    assert "refused  detail=" in first
    assert all(part.startswith("  ") for part in trace)
    assert all(part.isprintable() for part in [first, *trace])
