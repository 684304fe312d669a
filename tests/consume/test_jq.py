"""
Transforms: what a program's outputs become, which numbers keep their digits, and what a program may
not say.
"""

import asyncio
import json
from collections.abc import Sequence

import pytest

from trackmate_consume.expressions import refused
from trackmate_consume.program import Dead, Filtered, Misspelt, Program, Result
from trackmate_consume.sink import Document
from trackmate_contract.pipeline import PipelineSpec
from trackmate_contract.record import Record, Stamp


def results(
    text: str, *events: bytes, form: str = "json", content_type: str | None = None
) -> Sequence[Result]:
    declared = {
        "stream": "events",
        "sink": {"stdout": {}},
        "format": form,
        "transform": {"jq": text},
    }
    stamp = Stamp(1700, "web", "track", content_type)
    records = [
        Record("events", 3, n, f"e{n}", "me", value, stamp) for n, value in enumerate(events)
    ]

    async def translated() -> Sequence[Result]:
        program = Program(PipelineSpec.model_validate(declared))
        try:
            return await program.translate(records)
        finally:
            await program.close()

    return asyncio.run(translated())


def made(text: str, event: bytes) -> list[str]:
    [result] = results(text, event)
    assert not isinstance(result, Dead | Filtered), result
    return [document.value.decode() for document in result]


@pytest.mark.parametrize(
    ("digits", "kept"),
    [
        ("1234567890123456789", "1234567890123456789"),
        ("123456789012345678901234567890.5", "123456789012345678901234567890.5"),
        ("1.10", "1.10"),
        ("0.1000000000000000000001", "0.1000000000000000000001"),
        ("-0", "-0"),
        ("1e1000", "1E+1000"),
        ("1e5", "1E+5"),
        ("1e-400", "1E-400"),
    ],
)
@pytest.mark.parametrize(
    "program", [".a", "{x: .a} | .x", "[.a][0]", ".a as $x | $x", ".b.c // .a"]
)
def test_a_number_that_is_passed_on_keeps_its_digits(program: str, digits: str, kept: str) -> None:
    assert made(program, f'{{"a":{digits}}}'.encode()) == [kept]


def test_a_number_that_is_calculated_with_is_a_double() -> None:
    assert made(".a + 0", b'{"a":1234567890123456789}') == ["1234567890123456800"]


def test_each_output_is_a_document_and_none_is_filtered() -> None:
    both, none = results(".l[]", b'{"l":[1,{"a":2}]}', b'{"l":[]}')

    assert both == (Document(b"1"), Document(b'{"a":2}'))
    assert none == Filtered("empty")


def test_tm_is_what_the_platform_knows_of_each_event() -> None:
    first, second = results("$tm", b"1", b"2")

    expected = {
        "id": "e0",
        "stream": "events",
        "partition": 3,
        "offset": 0,
        "received": 1700,
        "key": "web",
        "type": "track",
    }
    assert not isinstance(first, Dead | Filtered), first
    assert not isinstance(second, Dead | Filtered), second
    assert json.loads(first[0].value) == expected
    assert json.loads(second[0].value) == expected | {"id": "e1", "offset": 1}


def test_a_raw_body_is_text_of_its_base64() -> None:
    [result] = results("{body: @base64d}", b"\x00raw", content_type="text/plain")

    assert result == (Document(b'{"body":"\\u0000raw"}'),)


def test_half_a_surrogate_pair_is_the_replacement_character() -> None:
    assert made(".", rb'["\ud800","\uD83D\uDE00","\\ud800"]') == ['["�","😀","\\\\ud800"]']


def test_deep_and_repeated_members_are_no_fault() -> None:
    deep = b"[" * 128 + b"]" * 128

    assert made(".a", b'{"a":1,"a":%b}' % deep) == [deep.decode()]


def test_an_error_of_the_program_is_a_dead_letter_with_its_words() -> None:
    first, good = results(".a.b", b'{"a":1}', b'{"a":{"b":1}}')

    assert first == Dead("transform_error", 'Cannot index number with string ("b")')
    assert good == (Document(b"1"),)


def test_an_error_after_outputs_leaves_no_half_of_them() -> None:
    [result] = results('1, 2, error("late")', b"{}")

    assert result == Dead("transform_error", "late")


def test_a_document_that_the_format_cannot_hold_is_a_dead_letter_of_the_whole_event() -> None:
    [result] = results("{a: 1}, 2", b"{}", form="csv")

    assert isinstance(result, Dead)
    assert result.reason == "format_error"


@pytest.mark.parametrize(
    ("text", "reason"),
    [("[range(4000)] | tojson | [., ., ., ., .]", "transform_limit"), ("[range(4000)]", None)],
)
def test_documents_may_be_four_times_the_event_and_64_kib(text: str, reason: str | None) -> None:
    [result] = results(text, b"{}")

    assert (result.reason if isinstance(result, Dead) else None) == reason


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("foo", "line 1, column 1: foo/0 is not defined"),
        (".a |\n  bar(1)", "line 2, column 3: bar/1 is not defined"),
        ("{a: ", "line 1, column 4: syntax error"),
        (".a) | (.b", "line 1, column 3: syntax error"),
        (".a, env.PATH", "line 1, column 5: 'env' is not allowed: a transform has no environment"),
        ('"\\(1 + input)"', "line 1, column 8: 'input' is not allowed: a transform sees one event"),
        ('{a: 1,\n b: "x \\("y" | halt)"}', "line 2, column 16: 'halt' is not allowed"),
    ],
)
def test_a_program_that_cannot_run_is_said_with_its_place(text: str, told: str) -> None:
    with pytest.raises(Misspelt) as fault:
        results(text, b"{}")

    assert str(fault.value).startswith(told)
    assert fault.value.path == "spec.transform.jq"


@pytest.mark.parametrize("word", sorted(refused.REFUSED))
@pytest.mark.parametrize("around", ["%s", "[.[] | %s]", '"\\(%s)"', "def f: %s; .", "{a: %s}"])
def test_a_refused_word_is_found_wherever_it_is_called(word: str, around: str) -> None:
    assert [found.word for found in refused.find(around % word)] == [word]


@pytest.mark.parametrize(
    "text",
    [
        ".env",
        "{env}",
        "{a, input: 1}",
        ".a.input.halt",
        '"env and $ENV"',
        "# env\n.",
        '"\\\\(" | ascii_downcase',
        "def env: 1; env",
        ".environment",
        "$__loc__",
        "debug",
        "debug(1)",
        "stderr",
        "now",
        "input_line",
        '."env"',
        '.["input"]',
    ],
)
def test_a_word_that_is_a_name_or_harmless_is_not_refused(text: str) -> None:
    assert list(refused.find(text)) == []


@pytest.mark.parametrize("text", ["debug", "stderr", 'debug("x")'])
def test_debugging_words_pass_the_event_on_and_say_nothing(
    text: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert made(text, b'{"a":1}') == ['{"a":1}']
    assert capfd.readouterr() == ("", "")


def test_a_comment_at_the_end_is_no_fault() -> None:
    assert made(".a # the total", b'{"a":1}') == ["1"]
