"""
The examples of docs/expressions.md, run as they stand there.
"""

import asyncio
import re
from pathlib import Path

import pytest

from trackmate_consume.program import Dead, Filtered, Misspelt, Program, Result
from trackmate_contract.pipeline import PipelineSpec
from trackmate_contract.record import Record, Stamp

PAGE = (Path(__file__).parents[2] / "docs" / "expressions.md").read_text("utf-8")


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def event(title: str) -> bytes:
    found = re.search(r"```json\n(.*?)\n```", section(title), re.DOTALL)
    assert found is not None
    return found[1].encode()


def rows(title: str) -> list[tuple[str, str]]:
    """First and second cell of the section's table, without its head."""
    lines = [line for line in section(title).splitlines() if line.startswith("| `")]
    cells = [re.split(r"(?<!\\)\|", line)[1:3] for line in lines]
    return [(a.strip().strip("`").replace("\\|", "|"), b.strip()) for a, b in cells]


def translated(title: str, **expressions: object) -> Result:
    declared = {"stream": "events", "sink": {"stdout": {}}, **expressions}
    record = Record("events", 0, 7, "m-1", None, event(title), Stamp(5, "web", "track"))

    async def run() -> Result:
        program = Program(PipelineSpec.model_validate(declared))
        try:
            (result,) = await program.translate([record])
        finally:
            await program.close()
        return result

    return asyncio.run(run())


def said(result: Result) -> str:
    """As the page says it."""
    if isinstance(result, Dead):
        return result.reason
    if isinstance(result, Filtered):
        return "none" if result.reason == "empty" else result.reason
    return " ".join(f"`{document.value.decode()}`" for document in result)


@pytest.mark.parametrize(("filter_", "result"), rows("Filter"))
def test_a_filter_of_the_page_says_what_the_page_says(filter_: str, result: str) -> None:
    found = translated("Filter", filter=filter_)

    assert ("true" if type(found) is tuple else said(found)) == result


@pytest.mark.parametrize(("program", "result"), rows("Transform"))
def test_a_transform_of_the_page_makes_what_the_page_says(program: str, result: str) -> None:
    assert said(translated("Transform", transform={"jq": program})) == result


def refused() -> list[str]:
    found = re.search(r"These are refused[^:]*:(.*?error`\))", section("Transform"), re.DOTALL)
    assert found is not None
    words = re.sub(r"\([^)]*\)", "", found[1])
    return re.findall(r"`([^`]+)`", words)


def test_the_page_names_words_that_are_refused() -> None:
    assert len(refused()) > 10


@pytest.mark.parametrize("word", refused())
def test_what_the_page_calls_refused_is_misspelt_with_its_place(word: str) -> None:
    texts = {"import": 'import "a" as a; .', "include": 'include "a"; .'}

    with pytest.raises(Misspelt, match="line 1, column 1") as caught:
        translated("Transform", transform={"jq": texts.get(word, word)})

    assert caught.value.path == "spec.transform.jq"
