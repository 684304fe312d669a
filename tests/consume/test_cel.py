"""
Filters: closures say what the CEL library says of any filter and any event, and where the library
rounds, they say what the language defines.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from cel_expr_python import cel
from hypothesis import example, given, settings
from hypothesis import strategies as st

from trackmate_consume.expressions import closures, narrow, tree
from trackmate_consume.program import Dead, Filtered, Misspelt, Program
from trackmate_contract.pipeline import PipelineSpec
from trackmate_contract.record import Record, Stamp

ENV = cel.NewEnv(variables={"event": cel.Type.DYN, "tm": cel.Type.DYN})

PATHS = ["event.a", "event.b", "event.a.b", 'event["a"]', "event.a[0]", "event.b[1]", "event.nope"]
LITERALS = ["1", "-1", "1.0", "1.5", '"x"', '"xy"', '""', "true", "false", "null"]
LISTS = ['["x", 1]', "[1.0, true, null]", "[event.a, event.b]", "[]"]
VALUES = [*PATHS, *LITERALS]
SIGNS = ["==", "!=", "<", "<=", ">", ">="]
METHODS = ["startsWith", "endsWith", "contains"]


def comparisons() -> st.SearchStrategy[str]:
    value = st.sampled_from(VALUES)
    signs = st.tuples(value, st.sampled_from(SIGNS), value).map(" ".join)
    within = st.tuples(value, st.just("in"), st.sampled_from([*LISTS, *PATHS])).map(" ".join)
    tested = st.sampled_from([f"has({path})" for path in PATHS if path[-1] != "]"])
    methods = st.builds("{}.{}({})".format, value, st.sampled_from(METHODS), value)
    return st.one_of(signs, within, tested, methods, st.sampled_from(PATHS))


def filters() -> st.SearchStrategy[str]:
    def combined(part: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        both = st.builds("({} {} {})".format, part, st.sampled_from(["&&", "||"]), part)
        return st.one_of(both, part.map("!({})".format))

    return st.recursive(comparisons(), combined, max_leaves=6)


LEAVES = st.sampled_from(["x", "xyz", "", 0, 1, -1, 1.0, 1.5, 2**53, True, False, None])
JSON = st.recursive(
    LEAVES,
    lambda part: st.lists(part, max_size=3) | st.dictionaries(st.sampled_from("abc"), part),
    max_leaves=8,
)
EVENTS = st.dictionaries(st.sampled_from("ab"), JSON) | JSON


def said_by_library(text: str, event: Any) -> Any:
    """True, False, "missing" or "error"; None where it does not compile."""
    try:
        result = ENV.compile(text).eval(data={"event": event, "tm": {}})
    except RuntimeError:
        return None
    value = result.value()
    if result.type().name() == "ERROR":
        missing = value.startswith("NOT_FOUND: Key not found") or "Index error: index=" in value
        return "missing" if missing else "error"
    return value if isinstance(value, bool) else "error"


def said_by_closure(text: str, event: bytes) -> Any:
    """Of what the filter's own reader decodes."""
    node = tree.read(ENV.compile(text).serialize())
    closure = closures.closure(node)
    try:
        value = closure(narrow.reader(node)(event), {})
    except closures.Missing:
        return "missing"
    except closures.Mismatch:
        return "error"
    return value if isinstance(value, bool) else "error"


@settings(max_examples=1500, deadline=None)
@given(filters(), EVENTS)
@example("event.nope == 1 || event.a == 1", {"a": 1})
@example("event.a < 1 && event.nope", {"a": "x"})
@example('event.a.startsWith("x") || event.nope', {"a": 1})
@example("event.a == [true]", {"a": [1]})
@example("event.a == event.b", {"a": {"c": 1}, "b": {"c": 2}})
@example('"c" in event.a && has(event.a.b)', {"a": {"b": 1, "c": 1}})
def test_a_closure_says_what_the_library_says(text: str, event: Any) -> None:
    expected = said_by_library(text, event)

    if expected is not None:
        assert said_by_closure(text, msgspec.json.encode(event)) == expected


@pytest.mark.parametrize(
    ("text", "event", "expected"),
    [
        ("event.a.b == 1", b'{"a":{"b":2},"a":{"b":1}}', True),
        ("event.a.b == 1", b'{"a":{"b":1},"a":{}}', "missing"),
        ("event.a.b == 1", b'{"a":{"b":1},"a":"x"}', "error"),
        ("event.a.b == 1", b'{"a":"x","a":{"b":1}}', True),
        ("event.a.b == 1", rb'{"\u0061":{"b":1}}', True),
        ("event.a == 1", rb'{"b":["\ud800",1e1000,{"a":2}],"a":1}', True),
    ],
)
def test_of_repeated_members_the_last_counts_and_what_is_not_named_does_not_matter(
    text: str, event: bytes, expected: Any
) -> None:
    assert said_by_closure(text, event) == expected


def foreign(text: str) -> bool:
    try:
        closures.closure(tree.read(ENV.compile(text).serialize()))
    except tree.Foreign:
        return True
    return False


@pytest.mark.parametrize(
    "text",
    [
        "size(event.a) > 1",
        "event.a.exists(x, x == 1)",
        'event.a.matches("x")',
        "event.a + 1 == 2",
        "event.a ? true : false",
        "event.a[event.b] == 1",
        "event.a == 1u",
        'event.a == b"x"',
        'event.a == {"b": 1}',
        "type(event.a) == int",
        " || ".join(['"x" in event.a'] * 9),
    ],
)
def test_what_is_outside_of_the_subset_is_left_to_the_library(text: str) -> None:
    assert foreign(text)


def test_many_comparisons_with_literals_are_still_closures() -> None:
    assert not foreign(" || ".join(['event.a in ["x", "y"]', "event.b == 1"] * 20))


@pytest.mark.parametrize(
    ("text", "event", "expected"),
    [
        ("event.n == 1234567890123456789", b'{"n":1234567890123456789}', True),
        ("event.n == 1234567890123456788", b'{"n":1234567890123456789}', False),
        ("event.n > 1234567890123456788", b'{"n":1234567890123456789}', True),
        ("event.n > 9007199254740992.0", b'{"n":9007199254740993}', True),
        ("event.n == 1", b'{"n":1.0}', True),
        ("event.n > 1", b'{"n":1e1000}', True),
        ("event.n > 1", b'{"n":123456789012345678901234567890}', True),
        ("event.n == 1", b'{"n":true}', False),
    ],
)
def test_numbers_compare_exactly(text: str, event: bytes, *, expected: bool) -> None:
    assert said_by_closure(text, event) is expected
    assert passes(text, [event]) == [expected]


def record(value: bytes, offset: int = 0) -> Record:
    return Record("events", 3, offset, f"e{offset}", None, value, Stamp(1700, "web", "track"))


def results(text: str, events: Sequence[bytes]) -> list[Any]:
    async def translated() -> list[Any]:
        spec = {"stream": "events", "sink": {"stdout": {}}, "filter": text}
        program = Program(PipelineSpec.model_validate(spec))
        try:
            return list(await program.translate([record(e, n) for n, e in enumerate(events)]))
        finally:
            await program.close()

    return asyncio.run(translated())


def passes(text: str, events: Sequence[bytes]) -> list[bool]:
    return [not isinstance(result, Filtered | Dead) for result in results(text, events)]


IN_CHILD = " && size([1]) == 1"


@pytest.mark.parametrize("also", ["", IN_CHILD])
def test_false_missing_and_wrong_are_told_apart_wherever_the_filter_runs(also: str) -> None:
    kept, false, missing, wrong = results(
        "event.a > 1" + also, [b'{"a":2}', b'{"a":1}', b"{}", b'{"a":"x"}']
    )

    assert kept[0].value == b'{"a":2}'
    assert (false, missing) == (Filtered("false"), Filtered("missing"))
    assert wrong.reason == "filter_error"


@pytest.mark.parametrize("also", ["", IN_CHILD])
def test_tm_is_what_the_platform_knows_wherever_the_filter_runs(also: str) -> None:
    text = (
        'tm.id == "e0" && tm.stream == "events" && tm.partition == 3 && tm.offset == 0'
        ' && tm.received == 1700 && tm.key == "web" && tm.type == "track"'
    )

    assert passes(text + also, [b"{}"]) == [True]


def test_numbers_beyond_64_bits_do_not_stop_a_filter_in_the_child() -> None:
    event = b'{"n":123456789012345678901234567890,"m":1e1000,"a":1}'

    assert passes("event.n > 1 && event.m > 1 && event.a == 1" + IN_CHILD, [event]) == [True]


def test_half_a_surrogate_pair_is_the_replacement_character_and_is_passed_on_as_sent() -> None:
    event = rb'{"a":"\ud800"}'

    [(document,)] = results('event.a == "�"', [event])

    assert document.value == event


def test_a_filter_that_says_text_is_a_dead_letter() -> None:
    [dead] = results("event.a", [b'{"a":"x"}'])

    assert dead == Dead("filter_error", "the filter says text, and not true or false; compare it")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("foo == 1", "line 1, column 1: undeclared reference to 'foo'; there are event and tm"),
        ("event.a ==\n  && true", "line 2, column 3: Syntax error: extraneous input '&&'"),
        ("event.a.contains(1)", "line 1, column 17: found no matching overload for 'contains'"),
        ("has(event)", "line 1, column 5: has() argument must be a field selection"),
        ("event.a == 'x", "line 1, column 12: Syntax error: token recognition error"),
        ("event.a = 1", "Syntax error: token recognition error at: '= '; write '=='"),
        ("event.a == 1 & true", "token recognition error at: '& '; write '&&'"),
        ("event.a == 1 and true", "mismatched input 'and' expecting <EOF>; write '&&'"),
        ("event.a == 1 or true", "mismatched input 'or' expecting <EOF>; write '||'"),
        ("size(event.a)", "it says int, and a filter says true or false; compare it"),
        ("event.n == 9223372036854775808", "line 1, column 12: invalid int literal"),
        ("(" * 2000 + "true" + ")" * 2000, "it is nested too deep"),
    ],
)
def test_a_filter_that_cannot_run_is_said_with_its_place(text: str, told: str) -> None:
    with pytest.raises(Misspelt) as fault:
        results(text, [b"{}"])

    assert told in str(fault.value)
    assert fault.value.path == "spec.filter"
