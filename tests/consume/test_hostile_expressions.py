"""
Expressions that want to harm: each ends in bounds, by itself, and nothing else notices.
"""

import asyncio
import json
import time

import pytest

from trackmate_consume.program import Dead, Misspelt, Program, Result
from trackmate_contract.pipeline import PipelineSpec
from trackmate_contract.record import Record, Stamp

LIST = json.dumps(list(range(200)))
EVENT = b'{"s":"%b","n":1,"l":%b}' % (b"a" * 2000, LIST.encode())
ENDS_S = 20.0  # generous: a limit is 100 ms of processor time, and machines are busy

REFUSED = [
    "env",
    "$ENV.PATH",
    "input",
    "[inputs]",
    'import "a" as a; .',
    'include "a"; .',
    "halt",
    "halt_error",
    "input_filename",
    "get_search_list",
    '"\\(env)"',
    "[.[] | $ENV]",
    "modulemeta",
    "input_line_number",
    ".)|halt|(.",
    "{(",
]
JQ = [
    "[range(1e12)]",
    "last(range(1e12))",
    "def f: f; f",
    "def f: 1 + f; f",
    "def f: [f]; f",
    "[repeat(1)]",
    "repeat(1)",
    "until(false; .)",
    "while(true; .)",
    "[limit(1e9; repeat(0))]",
    '"x" * (.n * 1e9)',
    "[range(.n * 1e7)] | tojson",
    "reduce range(1e9) as $i (null; [.])",
    'reduce range(1e9) as $i (""; . + "xxxxxxxxxxxxxxxx")',
    "[.l[] as $a | .l[] as $b | .l[] as $c | .l[] as $d | 1]",
    "[.s, .s] | combinations(1000)",
    '[.s | match("a"; "g")] | [range(1e9) as $i | .]',
    ".s * 100",
    "error(.)",
    ".n / 0",
    'setpath([1e9 | floor]; 1)?, error("end")',
    "[splits(.l)]",
]
CEL = [
    f"{LIST}.all(a, {LIST}.all(b, {LIST}.all(c, a + b + c >= 0)))",
    "event.l.all(a, event.l.all(b, event.l.all(c, event.l.all(d, a + b + c + d >= 0))))",
    "event.l.map(a, event.l.map(b, event.l.map(c, event.l))) == []",
    "event.l.exists(a, event.l.exists(b, event.l.exists(c, a + b + c < 0)))",
    "event.n / 0 == 1",
    "9223372036854775807 + event.n > 0",
    "event.s",
]
CEL_REFUSED = ["(" * 1000 + "true" + ")" * 1000, "!" * 4000 + "true", "foo()", "event.", "env == 1"]


def record(offset: int = 0, value: bytes = EVENT) -> Record:
    return Record("events", 0, offset, f"e{offset}", None, value, Stamp(5, "web"))


def program(**expressions: object) -> Program:
    declared = {"stream": "events", "sink": {"stdout": {}}, **expressions}
    return Program(PipelineSpec.model_validate(declared))


def ended(**expressions: object) -> Result:
    """What an event becomes, within `ENDS_S` and while another program goes on beside it."""

    async def run() -> Result:
        hostile, innocent = program(**expressions), program(transform={"jq": ".n"})
        try:
            async with asyncio.timeout(ENDS_S):
                (result,), beside = await asyncio.gather(
                    hostile.translate([record()]), innocent.translate([record(), record(1)])
                )
        finally:
            await hostile.close()
            await innocent.close()
        assert [documents[0].value for documents in beside if type(documents) is tuple] == [
            b"1"
        ] * 2
        return result

    return asyncio.run(run())


@pytest.mark.parametrize("text", REFUSED)
def test_a_transform_that_reaches_out_is_misspelt(text: str) -> None:
    with pytest.raises(Misspelt) as caught:
        ended(transform={"jq": text})

    assert caught.value.path == "spec.transform.jq"


@pytest.mark.parametrize("text", JQ)
def test_a_transform_without_end_is_a_dead_letter_by_itself(text: str) -> None:
    result = ended(transform={"jq": text})

    assert isinstance(result, Dead)
    assert result.reason in {"transform_limit", "transform_error"}
    assert result.detail


@pytest.mark.parametrize("text", CEL)
def test_a_filter_without_end_is_a_dead_letter_by_itself(text: str) -> None:
    result = ended(filter=text)

    assert isinstance(result, Dead)
    assert result.reason in {"filter_limit", "filter_error"}


@pytest.mark.parametrize("text", CEL_REFUSED)
def test_a_filter_that_no_library_takes_is_misspelt(text: str) -> None:
    with pytest.raises(Misspelt) as caught:
        ended(filter=text)

    assert caught.value.path == "spec.filter"


def test_the_events_before_and_after_a_hostile_one_are_unharmed() -> None:
    async def run() -> list[Result]:
        endless = program(transform={"jq": "if .n == 1 then def f: f; f else .n end"})
        values = [b'{"n":0}', b'{"n":1}', b'{"n":2}', b'{"n":1}', b'{"n":3}']
        try:
            return await endless.translate([record(at, value) for at, value in enumerate(values)])
        finally:
            await endless.close()

    results = asyncio.run(run())

    assert [type(one) is tuple and one[0].value for one in results] == [
        b"0",
        False,
        b"2",
        False,
        b"3",
    ]


def test_the_event_loop_goes_on_while_an_expression_does_not_end() -> None:
    async def run() -> float:
        endless = program(transform={"jq": "def f: f; f"})
        longest, since = 0.0, time.monotonic()
        translating = asyncio.create_task(endless.translate([record()]))
        while not translating.done():
            await asyncio.sleep(0)
            longest, since = max(longest, time.monotonic() - since), time.monotonic()
        await endless.close()
        return longest

    assert asyncio.run(run()) < ENDS_S / 10
