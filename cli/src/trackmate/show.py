"""
What people see: tables on a terminal, JSON for programs, one sentence for an error.
"""

import json
import re
import sys
from base64 import b64decode
from collections.abc import Sequence
from importlib.metadata import version as installed_version
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from trackmate.changes import Plan

_WIDE = 400  # columns where nobody looks: a program's line is not to be folded

out = Console(highlight=False, emoji=False, width=None if sys.stdout.isatty() else _WIDE)
err = Console(
    highlight=False, emoji=False, width=None if sys.stderr.isatty() else _WIDE, stderr=True
)

_CONTROL = re.compile(  # all but tab and newline, and what reverses or parts a line
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u061c\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_PIPELINE_COLUMNS = (
    "PIPELINE", "READY", "REASON", "FROM", "TO", "WAITING", "LAG", "DEAD", "MESSAGE"
)  # fmt: skip
_FOLDED = {
    "FROM",
    "STREAMS",
    "MESSAGE",
    "DETAIL",
    "ID",
}  # columns whose text may take several lines
_TERMS = ("delivered", "duplicates", "conflicts", "filtered", "dead", "expired", "in_flight")


def target(said: str) -> None:
    """Say which Trackmate answers, where it does not disturb the output."""
    err.print(visible(said), style="dim", markup=False, soft_wrap=True)


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

    >>> visible("a\\x1b[2Jb \\u202ec")
    'a\\\\x1b[2Jb \\\\u202ec'
    """
    return _CONTROL.sub(lambda match: _escape(ord(match[0])), text)


def _escape(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"  # noqa: PLR2004 - one byte


def keys(rows: Sequence[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        return _json(rows)
    table = _table("KEY", "USE", "VALUE", "CREATED", "EXPIRES", "FROM")
    for row in rows:
        origins = ", ".join(row["origins"]) or ("any" if row["use"] == "Browser" else "-")
        expires = (row["expires"] or "never").replace("T", " ")
        table.add_row(row["name"], row["use"], row["key"], row["created"][:10], expires, origins)
    return _print(table, nothing="No keys. Make one with 'trackmate keys create'.")


def status(state: dict[str, Any], *, as_json: bool) -> None:
    affiliates = state["affiliates"]
    if as_json:
        return _json(state)
    table = _table("NAME", "READY", "STREAMS", "ACCEPTED", "LAG", "BOOKS", "ADDRESS")
    for affiliate in affiliates:
        table.add_row(*_status_row(affiliate))
    _print(table, nothing="No affiliate. Put an Affiliate YAML into the folder.")
    pipelines = _table(*_PIPELINE_COLUMNS)
    for affiliate in affiliates:
        for pipeline in affiliate["ledger"]["pipelines"]:
            pipelines.add_row(*_pipeline_row(affiliate["name"], pipeline))
    if affiliates:
        out.print()
        out.print(pipelines)
    for fault in state["faults"]:
        line = f":{fault['line']}" if fault["line"] else ""
        error(f"{fault['file']}{line}: {fault['path']}: {fault['message']}")
    return None


def _status_row(affiliate: dict[str, Any]) -> tuple[str, ...]:
    ledger = affiliate["ledger"]
    pipelines = ledger["pipelines"]
    return (
        affiliate["name"],
        str(all(pipeline["ready"] for pipeline in pipelines)),
        ", ".join(affiliate["streams"]),
        str(ledger["accepted"]),
        f"{max(pipeline['lag_seconds'] for pipeline in pipelines):.1f} s",
        "balance" if ledger["balanced"] else "OFF",
        ", ".join(affiliate["hosts"]) or affiliate["endpoint"],
    )


def _pipeline_row(affiliate: str, pipeline: dict[str, Any]) -> tuple[str, ...]:
    return (
        f"{affiliate}/{pipeline['name']}",
        str(pipeline["ready"]),
        pipeline["reason"],
        pipeline["stream"] or "all streams",
        pipeline["sink"],
        str(pipeline["in_flight"]),
        f"{pipeline['lag_seconds']:.1f} s",
        str(pipeline["dead_letters"]),
        escape(visible(pipeline["message"])),
    )


def cluster_status(state: dict[str, Any], only: str | None, *, as_json: bool) -> None:
    """Of a cluster: what the operator says of each affiliate, and of one all that it says."""
    if as_json:
        return _json(state)
    table = _table("NAME", "READY", "REASON", "HOST", "NAMESPACE")
    for affiliate in state["affiliates"]:
        table.add_row(
            affiliate["name"],
            str(affiliate["ready"]),
            affiliate["reason"],
            _hosts(affiliate),
            affiliate["namespace"],
        )
    _print(table, nothing="No affiliate. Make one: trackmate init NAME > NAME.yaml")
    for affiliate in state["affiliates"]:
        if only is None:
            _why_not(affiliate)
        else:
            _all_of(affiliate)
    return None


def _hosts(affiliate: dict[str, Any]) -> str:
    endpoint = (affiliate["endpoint"] or "-").removeprefix("https://")
    return ", ".join(affiliate["hosts"]) or endpoint


def _parts(affiliate: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The affiliate and its pipelines, each with its name."""
    name = affiliate["name"]
    pipelines = affiliate["ledger"]["pipelines"]
    return [(name, affiliate), *((f"{name}/{one['name']}", one) for one in pipelines)]


def _why_not(affiliate: dict[str, Any]) -> None:
    """The sentence of each part that is not ready, or rests."""
    for name, one in _parts(affiliate):
        rests = [c["message"] for c in one["conditions"] if _is_paused(c)]
        said = one["message"] if not one["ready"] else rests[0] if rests else ""
        if said:
            out.print(f"{name}: {visible(said)}", markup=False, soft_wrap=True)


def _is_paused(condition: dict[str, Any]) -> bool:
    return (condition["type"], condition["status"]) == ("Paused", "True")


def _all_of(affiliate: dict[str, Any]) -> None:
    out.print()
    for title, value in (
        ("endpoint", affiliate["endpoint"]),
        ("id", affiliate["id"]),
        ("keys", f"Secret {affiliate['keySecret']}; see: trackmate keys list {affiliate['name']}"),
    ):
        out.print(f"{title:<10}{value or '-'}", markup=False, soft_wrap=True)
    table = _table("OF", "CONDITION", "STATUS", "REASON", "MESSAGE")
    for name, one in _parts(affiliate):
        for found in one["conditions"] or [{"type": "Ready", "status": "Unknown", **one}]:
            table.add_row(
                name,
                found["type"],
                found["status"],
                found["reason"],
                escape(visible(found["message"])),
            )
    out.print()
    out.print(table)


def paused(name: str, one: dict[str, Any], *, as_json: bool) -> None:
    """What became of what was paused or resumed."""
    if as_json:
        return _json(one)
    is_paused = any(map(_is_paused, one["conditions"]))
    waits = f"; {one['in_flight']} events wait" if one.get("in_flight") is not None else ""
    if is_paused and "ledger" in one:
        waits = "; the operator leaves all of it as it is, and its programs go on"
    return verbatim(f"{name} {'is paused' if is_paused else 'goes on'}{waits}.")


def letters(name: str, found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        return _json(found)
    table = _table("NUMBER", "DEAD", "FROM", "ID", "REASON", "TRIES", "DETAIL")
    for letter in found["letters"]:
        table.add_row(
            str(letter["number"]),
            letter["dead"].replace("T", " "),
            _place(letter),
            escape(visible(letter["id"])),
            letter["reason"],
            str(letter["attempts"]),
            escape(visible(letter["detail"])),
        )
    _print(table, nothing=f"{name} has no dead letters.")
    more = found["count"] - len(found["letters"])
    if more > 0 and found["letters"]:
        last = found["letters"][-1]["number"]
        err.print(f"{found['count']} in all; for more: --after {last}", style="dim")
    return None


def letter(found: dict[str, Any], *, as_json: bool) -> None:
    """One dead letter; its bytes as they are go out with --raw."""
    if as_json:
        return _json(found)
    for title, value in (
        ("number", found["number"]),
        ("from", _place(found)),
        ("id", found["id"]),
        ("reason", found["reason"]),
        ("detail", found["detail"]),
        ("tries", found["attempts"]),
        ("dead", found["dead"]),
        ("sha256", found["sha256"]),
    ):
        out.print(f"{title:<8}{visible(str(value))}", markup=False, soft_wrap=True)
    text = b64decode(found["base64"]).decode("utf-8", "backslashreplace")
    return verbatim(visible(text))


def replaying(asked: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        return _json(asked)
    if not asked["letters"]:
        return verbatim("There are no dead letters.")
    them = "1 dead letter is" if asked["letters"] == 1 else f"{asked['letters']} dead letters are"
    return verbatim(f"{them} sent again; what is refused again stays.")


def _place(letter: dict[str, Any]) -> str:
    return f"{letter['stream']}/{letter['partition']}@{letter['offset']}"


_MARKS = {"add": ("+", "green"), "change": ("~", "yellow"), "remove": ("-", "red")}


def plan(found: Plan, *, as_json: bool) -> None:
    """What would change, and what is wrong."""
    if as_json:
        return _json(
            {
                "changes": [
                    {**c._asdict(), "fields": [f._asdict() for f in c.fields]}
                    for c in found.changes
                ],
                "faults": [fault._asdict() for fault in found.faults],
                "notices": list(found.notices),
            }
        )
    for change in found.changes:
        mark, style = _MARKS[change.action]
        note = f"; {change.note}" if change.note else ""
        out.print(f"{mark} {change.kind} {change.name}{note}", style=style, markup=False)
        for path, before, after in change.fields:
            line = f"    {path}: {_value(before)} -> {_value(after)}"
            out.print(visible(line), markup=False, soft_wrap=True)
    if not found.changes and not found.faults:
        out.print("Nothing would change.")
    for notice in found.notices:
        err.print(f"Note: {visible(notice)}", style="dim", markup=False, soft_wrap=True)
    for fault in found.faults:
        error(str(fault))
    return None


def _value(value: Any) -> str:
    return "(nothing)" if value is None else json.dumps(value, ensure_ascii=False)


def ledger(books: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        return _json(books)
    for line in books["pipelines"]:
        out.print(f"Pipeline [bold]{line['name']}[/]")
        out.print(f"  accepted    {line['accepted']:>12,}")
        for term in _TERMS:
            out.print(f"  {term.replace('_', ' '):<12}{line[term]:>12,}", style=_style(line[term]))
        out.print(f"  documents   {line['documents']:>12,}")
        for found in line["reasons"]:
            words = f"{found['term']}, {found['reason']}"
            out.print(f"    {words:<24}{found['events']:>8,}", style="dim")
    if books["balanced"]:
        out.print("The books balance.", style="green")
    for fault in books["faults"]:
        error(f"The books do not balance: {fault}.")
    return None


def _style(count: int) -> str:
    return "" if count else "dim"


def snippet(text: str, *, as_json: bool) -> None:
    if as_json:
        _json({"snippet": text})
    else:
        verbatim(text)


def sent(*, events: int, requests: int, as_json: bool) -> None:
    if as_json:
        return _json({"events": events, "requests": requests})
    return verbatim(f"{counted(events, 'event')} stored, in {counted(requests, 'request')}.")


def counted(number: int, noun: str) -> str:
    """
    >>> counted(1, "event"), counted(2, "event")
    ('1 event', '2 events')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def checks(results: Sequence[tuple[str, bool, str]], *, as_json: bool) -> None:
    """Each by its name, whether it passed, and the detail."""
    if as_json:
        return _json([{"check": n, "passed": passed, "detail": d} for n, passed, d in results])
    for name, passed, detail in results:
        mark = "[green]ok  [/]" if passed else "[red]FAIL[/]"
        out.print(f"{mark}  {name}: {escape(visible(detail))}", soft_wrap=True)
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
