"""
What people see: tables on a terminal, JSON for programs, one sentence for an error.
"""

import json
import re
import sys
from collections.abc import Sequence
from importlib.metadata import version as installed_version
from typing import Any

from rich.console import Console
from rich.table import Table

from trackmate.errors import Declined

_WIDE = 400  # columns where nobody looks: a program's line is not to be folded

out = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDE)
err = Console(highlight=False, width=None if sys.stderr.isatty() else _WIDE, stderr=True)

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all but tab and newline
_FOLDED = {"FROM", "STREAMS", "READY"}  # columns whose text may take several lines
_TERMS = ("delivered", "duplicates", "conflicts", "filtered", "dead", "expired", "in_flight")


def target(url: str) -> None:
    """Say which Trackmate answers, where it does not disturb the output."""
    err.print(f"The embedded instance at {url}", style="dim")


def error(sentence: str) -> None:
    err.print(f"Error: {visible(sentence)}", style="red", markup=False, soft_wrap=True)


def verbatim(text: str) -> None:
    """A line to copy: not wrapped, not coloured."""
    out.file.write(text + "\n")
    out.file.flush()


def version() -> None:
    verbatim(f"trackmate {installed_version('trackmate')}")


def visible(text: str) -> str:
    """
    Control characters shown, not obeyed: what events hold must not drive the terminal.

    >>> visible("a\\x1b[2Jb")
    'a\\\\x1b[2Jb'
    """
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def keys(rows: Sequence[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        return _json(rows)
    table = _table("KEY", "USE", "VALUE", "CREATED", "EXPIRES", "FROM")
    for row in rows:
        origins = ", ".join(row["origins"]) or ("any" if row["use"] == "Browser" else "-")
        expires = (row["expires"] or "never").replace("T", " ")
        table.add_row(row["name"], row["use"], row["key"], row["created"][:10], expires, origins)
    return _print(table, nothing="No keys. Make one with 'trackmate keys create'.")


def status(state: dict[str, Any], only: str | None, *, as_json: bool) -> None:
    affiliates = [a for a in state["affiliates"] if only in {None, a["name"]}]
    if only and not affiliates:
        raise Declined(f"No affiliate {only!r} runs here.")
    if as_json:
        return _json({**state, "affiliates": affiliates})
    table = _table("NAME", "READY", "STREAMS", "ACCEPTED", "LAG", "BOOKS", "ADDRESS")
    for affiliate in affiliates:
        table.add_row(*_status_row(affiliate))
    _print(table, nothing="No affiliate. Put an Affiliate YAML into the folder.")
    for fault in state["faults"]:
        line = f":{fault['line']}" if fault["line"] else ""
        error(f"{fault['file']}{line}: {fault['path']}: {fault['message']}")
    return None


def _status_row(affiliate: dict[str, Any]) -> tuple[str, ...]:
    ledger = affiliate["ledger"]
    store = ledger["pipelines"][0]
    return (
        affiliate["name"],
        store["last_error"] or "True",
        ", ".join(affiliate["streams"]),
        str(ledger["accepted"]),
        f"{store['lag_seconds']:.1f} s",
        "balance" if ledger["balanced"] else "OFF",
        ", ".join(affiliate["hosts"]) or affiliate["endpoint"],
    )


def ledger(books: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        return _json(books)
    for line in books["pipelines"]:
        out.print(f"Pipeline [bold]{line['name']}[/]")
        out.print(f"  accepted    {books['accepted']:>12,}")
        for term in _TERMS:
            out.print(f"  {term.replace('_', ' '):<12}{line[term]:>12,}", style=_style(line[term]))
        out.print(f"  documents   {line['documents']:>12,}")
    if books["balanced"]:
        out.print("The books balance.", style="green")
    for fault in books["faults"]:
        error(f"The books do not balance: {fault}.")
    return None


def _style(count: int) -> str:
    return "" if count else "dim"


def sent(*, events: int, requests: int, as_json: bool) -> None:
    if as_json:
        return _json({"events": events, "requests": requests})
    return verbatim(f"{events} events stored, in {requests} requests.")


def checks(results: Sequence[tuple[str, bool, str]], *, as_json: bool) -> None:
    """Each by its name, whether it passed, and the detail."""
    if as_json:
        return _json([{"check": n, "passed": passed, "detail": d} for n, passed, d in results])
    for name, passed, detail in results:
        mark = "[green]ok  [/]" if passed else "[red]FAIL[/]"
        out.print(f"{mark}  {name}: {visible(detail)}", soft_wrap=True)
    return None


def _json(value: object) -> None:
    verbatim(json.dumps(value))


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, no_wrap=column not in _FOLDED, overflow="fold")
    return table


def _print(table: Table, *, nothing: str) -> None:
    if not table.row_count:
        out.print(nothing)
        return
    out.print(table)
