"""
Filters and transforms that mean harm: each is refused before its pipeline starts, with the place
where there is one, or costs its own event and no other; and no child grows beyond its bound.
"""

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import pytest

import exploding
from trackmate_consume.expressions.messages import Limits

COSTS = "it took more than "  # of time or memory, whichever the machine has less of
LARGE = "its documents are larger than 4 times the event and 64 KiB"
LOOPS = "Iteration budget exceeded"
PLACE = r"line \d+, column \d+: "

LIMIT = "transform_limit"
TRANSFORMS: dict[str, tuple[str, str]] = {
    # endless loops
    "def f: f; f": (LIMIT, COSTS),
    "[.l | while(true; .)]": (LIMIT, COSTS),
    "until(false; .)": (LIMIT, COSTS),
    "[repeat(.)]": (LIMIT, COSTS),
    "last(range(1e12))": (LIMIT, COSTS),
    "first(repeat(empty))": (LIMIT, COSTS),
    "reduce repeat(1) as $x (0; . + 1)": (LIMIT, COSTS),
    "label $out | foreach repeat(1) as $x (0; . + 1; empty)": (LIMIT, COSTS),
    "try error(1) catch repeat(.)": (LIMIT, LARGE),
    "range(0; 1; 1e-300)": (LIMIT, LARGE),
    "now | until(false; now)": (LIMIT, COSTS),
    # memory
    ".s * 1e6": ("transform_error", "Repeat string result too long"),
    'reduce range(99) as $i ("xx"; . + .)': (LIMIT, COSTS),
    ".a[1e8] = 1": (LIMIT, COSTS),
    "[range(1e9)]": (LIMIT, COSTS),
    "[limit(1e9; repeat(1))]": (LIMIT, COSTS),
    "reduce range(60) as $i ([1]; [., .]) | tojson": (LIMIT, COSTS),
    'reduce range(99) as $i ("x"; tojson)': (LIMIT, COSTS),
    'reduce range(99) as $i ("x"; @base64)': (LIMIT, COSTS),
    "[limit(1e8; repeat(65))] | implode": (LIMIT, COSTS),
    "[recurse([., .])]": (LIMIT, COSTS),
    "[[range(1000)], [range(1000)], [range(1000)]] | [combinations]": (LIMIT, COSTS),
    '"x" * 1e6 | ltrimstr("x")': (LIMIT, LARGE),
    # depth
    "def f: 1 + f; f": (LIMIT, COSTS),
    "def f: [f]; f": (LIMIT, COSTS),
    "last(recurse(.))": (LIMIT, COSTS),
    '("[" * 1e6) | fromjson': ("transform_error", "Exceeds depth limit for parsing"),
    'getpath([range(1e6) | "a"])': (LIMIT, COSTS),
    'def f: ltrimstr("x") | f; "x" * 1e5 | f': (LIMIT, COSTS),
    # regular expressions
    '("a" * 40 + "!") | test("^(a+)+$")': (LIMIT, COSTS),
    '("x" * 60000) | test("(x+x+)+y")': (LIMIT, COSTS),
    '("a" * 100000) | [match("a*?"; "g")] | length': (LIMIT, COSTS),
    '("ab" * 30000) | gsub("a"; "b" * 30) | gsub("b"; "a" * 30)': (LIMIT, COSTS),
    # talk
    "last(range(1e12) | debug)": (LIMIT, COSTS),
    "last(repeat(stderr))": (LIMIT, COSTS),
    'error("\\u001b[2J" * 1e5)': ("transform_error", "\x1b[2J"),
    # what is not there, out of sight of the check before the start
    "(def halt: 1; 1) | halt": ("transform_error", "'halt' is not allowed"),
    "(def input: 1; 1) | input": ("transform_error", "'input' is not allowed"),
    "(def env: 1; 1) | env": ("transform_error", "'env' is not allowed"),
}
"""What the transform does with the event that sets it off, the reason, and words of the detail."""

REFUSED: dict[str, str] = {
    "env": PLACE + "'env' is not allowed",
    "{$ENV}": PLACE + "'[$]ENV' is not allowed",
    "# def env: 1\nenv.PATH": PLACE + "'env' is not allowed",
    "input": PLACE + "'input' is not allowed",
    '"def input: 1", [inputs]': PLACE + "'inputs' is not allowed",
    "input_filename": PLACE + "'input_filename' is not allowed",
    'import "a" as a; .': PLACE + "'import' is not allowed",
    'include "/etc/passwd"; .': PLACE + "'include' is not allowed",
    '"a" | modulemeta': PLACE + "'modulemeta' is not allowed",
    "halt": PLACE + "'halt' is not allowed",
    '"bye" | halt_error': PLACE + "'halt_error' is not allowed",
    'system("id")': PLACE + "system/1 is not defined",
    "$__prog_args": PLACE + "[$]__prog_args is not defined",
    '"x" * 1e9': "it takes more than 256 MiB of memory to compile",
    "-" * 16000 + "1": PLACE + "memory exhausted",
    "{a:" * 4000 + "1" + "}" * 4000: PLACE + "memory exhausted",
    ".." + "?" * 16000: "function compiled to .* which is too long$",
    "9" * 20000: "has 20000 characters; write 16384 or fewer",
}
"""Whole transforms, and how they are told."""

FILTERS: dict[str, tuple[str, str]] = {
    "event.l.all(a, event.l.all(b, event.l.all(c, a + b + c >= 0)))": ("filter_limit", LOOPS),
    "event.l.exists(a, event.l.exists(b, event.l.exists(c, a + b + c < 0)))": (
        "filter_limit",
        LOOPS,
    ),
    "event.l.map(a, event.l.map(b, event.l.map(c, event.l))) == []": ("filter_limit", ""),
    "[0,1,2,3,4,5,6,7,8,9].all(a, " * 9 + "true" + ")" * 9: ("filter_limit", LOOPS),
    "[event.s]" + ".map(a, a + a)" * 24 + " == []": ("filter_limit", COSTS),
    "[event.l]" + ".map(a, a + a)" * 24 + " == []": ("filter_limit", COSTS),
    'event.s.matches("((a{100}){100}){100}")': ("filter_error", "invalid repetition size"),
    "9223372036854775807 + 1 == 1": ("filter_error", "integer overflow"),
    "event.l.map(a, a / 0) == []": ("filter_error", "divide by zero"),
    "-9223372036854775808 / -1 == 1": ("filter_error", "integer overflow"),
}
"""As TRANSFORMS."""

REFUSED_FILTERS: dict[str, str] = {
    "env == 1": PLACE + "undeclared reference to 'env'",
    "(" * 2000
    + "true"
    + ")" * 2000: "it is nested too deep, or a chain too long; write it flatter",
    "event" + ".a" * 1990 + " == 1": "it is nested too deep, or a chain too long; write it flatter",
    "1" + " + 1" * 1000 + " > 0": "it is nested too deep, or a chain too long; write it flatter",
    "9" * 4000 + " == 1": PLACE + "invalid int literal",
    '"' + "x" * 60_000 + '" == event.s': "characters; write 4096 or fewer",
}

HARMLESS = [
    {"filter": 'event.bomb ? event.s.matches("(a+)+$") : true'},
    {"filter": 'event.bomb ? event.s.matches("(a|a)*b(a?){1000}") : true'},
    {"filter": "!" * 4000 + "true"},
    {"transform": "(" * 8000 + "{}" + ")" * 8000},
    {"transform": '"\\(' * 3000 + "1" + ')"' * 3000},
    {"transform": "debug(range(1000))"},
]
"""Where others have burnt their fingers: linear here, or too small to matter."""


@dataclass
class Blast:
    """What became of all of them, in one process."""

    found: dict[str, Any]
    child_peak: int
    own_peak: int


def bomb(transform: str) -> dict[str, str]:
    return {"transform": f"if .bomb then ({transform}) else {{n}} end"}


def picky(condition: str) -> dict[str, str]:
    return {"filter": f"event.bomb ? ({condition}) : true"}


@pytest.fixture(scope="module")
def blast() -> Blast:
    expressions = [
        *map(bomb, TRANSFORMS),
        *({"transform": text} for text in REFUSED),
        *map(picky, FILTERS),
        *({"filter": text} for text in REFUSED_FILTERS),
        *HARMLESS,
    ]
    done = subprocess.run(
        [sys.executable, exploding.__file__],
        input=json.dumps(expressions).encode(),
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    said = json.loads(done.stdout)
    by_text = {json.dumps(e): found for e, found in zip(expressions, said["found"], strict=True)}
    return Blast(by_text, said["child_peak"], said["own_peak"])


def short(text: str) -> str:
    return text if len(text) < 60 else f"{text[:40]}… of {len(text)}"


def check_costs_its_event(
    blast: Blast, expression: dict[str, str], good: list[str], reason: str, words: str
) -> None:
    before, bad, behind = blast.found[json.dumps(expression)]["results"]
    assert (bad.get("dead"), words in bad.get("detail", "")) == (reason, True), bad
    assert [before, behind] == [{"documents": text} for text in good]


@pytest.mark.parametrize("text", TRANSFORMS, ids=short)
def test_a_hostile_transform_costs_the_event_that_sets_it_off_and_no_other(
    blast: Blast, text: str
) -> None:
    good = ['{"n":0}', '{"n":2}']
    check_costs_its_event(blast, bomb(text), good, *TRANSFORMS[text])


@pytest.mark.parametrize("text", FILTERS, ids=short)
def test_a_hostile_filter_costs_the_event_that_sets_it_off_and_no_other(
    blast: Blast, text: str
) -> None:
    good = [event.decode() for event in exploding.EVENTS[::2]]
    check_costs_its_event(blast, picky(text), good, *FILTERS[text])


@pytest.mark.parametrize("text", REFUSED, ids=short)
def test_a_transform_that_can_never_run_is_refused_before_it_starts(
    blast: Blast, text: str
) -> None:
    told = blast.found[json.dumps({"transform": text})]["refused"]
    assert re.search(f"^spec.transform.jq: .*{REFUSED[text]}", told), told


@pytest.mark.parametrize("text", REFUSED_FILTERS, ids=short)
def test_a_filter_that_can_never_run_is_refused_before_it_starts(blast: Blast, text: str) -> None:
    told = blast.found[json.dumps({"filter": text})]["refused"]
    assert re.search(f"^spec.filter: .*{REFUSED_FILTERS[text]}", told), told
    assert "\n" not in told


@pytest.mark.parametrize("expression", HARMLESS, ids=lambda e: short(str(*e.values())))
def test_what_only_looks_hostile_costs_nothing(blast: Blast, expression: dict[str, str]) -> None:
    results = blast.found[json.dumps(expression)]["results"]
    assert all("dead" not in result for result in results), results


@pytest.mark.needs("linux")
def test_no_child_grew_beyond_its_bound_and_the_parent_not_at_all(blast: Blast) -> None:
    assert blast.child_peak < Limits().memory
    assert 0 < blast.own_peak < 128 << 20
