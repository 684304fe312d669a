"""
Hands expressions that mean harm to the product's own program, each with a good event before and
behind the one that sets it off. In a process of its own, so that the most memory that any child of
it ever held is the children's of these expressions.

Reads a JSON list of `{"filter": …}` and `{"transform": …}` from its standard input, and prints what
became of each, and the peaks: `{"found": […], "child_peak": BYTES, "own_peak": BYTES}`.
"""

import asyncio
import json
import re
import resource
import sys
from pathlib import Path
from typing import Any

from trackmate_consume.program import Dead, Filtered, Misspelt, Program, Result
from trackmate_contract.faults import Faulty
from trackmate_contract.manifest import parse
from trackmate_contract.record import Record, Stamp

BOMB = {"bomb": True, "l": list(range(300)), "s": "a" * 3000}
EVENTS = [b'{"bomb":false,"n":0}', json.dumps(BOMB).encode(), b'{"bomb":false,"n":2}']

_AT_ONCE = 2


async def explode(expressions: list[dict[str, str]]) -> list[Any]:
    turn = asyncio.Semaphore(_AT_ONCE)

    async def one(expression: dict[str, str]) -> Any:
        async with turn:
            return await _tried(expression)

    return await asyncio.gather(*map(one, expressions))


async def _tried(expression: dict[str, str]) -> dict[str, Any]:
    """`refused`: with which words; else `results`, one an event."""
    try:
        program = Program(_pipeline(expression))
    except Faulty as faulty:
        return {"refused": f"{faulty.faults[0].path}: {faulty.faults[0].message}"}
    stamp = Stamp(0, "web")
    records = [
        Record("events", 0, n, f"e-{n}", None, value, stamp) for n, value in enumerate(EVENTS)
    ]
    try:
        return {"results": [_shown(result) for result in await program.translate(records)]}
    except Misspelt as fault:
        return {"refused": f"{fault.path}: {fault}"}
    finally:
        await program.close()


def _pipeline(expression: dict[str, str]) -> Any:
    transform = expression.get("transform")
    spec = (
        {"filter": expression["filter"]} if transform is None else {"transform": {"jq": transform}}
    )
    return parse(
        {
            "apiVersion": "trackmate.io/v1alpha1",
            "kind": "Pipeline",
            "metadata": {"name": "bomb", "namespace": "trackmate-acme"},
            "spec": {"stream": "events", "sink": {"stdout": {}}, **spec},
        }
    ).spec


def _shown(result: Result) -> dict[str, str]:
    if isinstance(result, Dead):
        return {"dead": result.reason, "detail": result.detail}
    if isinstance(result, Filtered):
        return {"filtered": result.reason}
    return {"documents": b" ".join([document.value for document in result]).decode()}


def _child_peak() -> int:
    found = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return found * (1 if sys.platform == "darwin" else 1024)


def _own_peak() -> int:
    """From /proc: what `getrusage` says of this process may be of the one that started it."""
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
    return int(found[1]) * 1024 if found else 0


if __name__ == "__main__":
    found = asyncio.run(explode(json.load(sys.stdin)))
    peaks = {"child_peak": _child_peak(), "own_peak": _own_peak()}
    print(json.dumps({"found": found, **peaks}))
