"""
`trackmate tail`: events on a terminal as a table, for programs as bytes or as JSON lines.
"""

import json
import sys
from base64 import b64decode
from datetime import datetime
from enum import Enum, auto
from typing import Any

from trackmate import show
from trackmate.client import Client

_LONGEST = 2000  # characters of an event in the table


class Form(Enum):
    """How events are printed."""

    TABLE = auto()
    RAW = auto()
    JSON = auto()


def tail(  # noqa: PLR0913 - what the command was asked for
    client: Client,
    name: str,
    stream: str | None,
    *,
    since: str,
    limit: int | None,
    follow: bool,
    form: Form,
) -> None:
    """Print until the end, the limit, or Ctrl-C."""
    wanted = {"since": since, "follow": follow, "stream": stream, "limit": limit}
    given = {name: value for name, value in wanted.items() if value is not None}
    try:
        with client.records(name, **given) as lines:
            for line in lines:
                _WRITE[form](line)
    except KeyboardInterrupt:
        pass


def _raw(line: str) -> None:
    sys.stdout.buffer.write(b64decode(json.loads(line)["base64"]) + b"\n")
    sys.stdout.buffer.flush()


def _json(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _row(line: str) -> None:
    event: dict[str, Any] = json.loads(line)
    moment = datetime.fromtimestamp(event["received"] / 1000).astimezone()
    text = b64decode(event["base64"]).decode("utf-8", "backslashreplace")
    place = f"{event['stream']}/{event['partition']}@{event['offset']}"
    shown = " ".join(show.visible(text[:_LONGEST]).split())
    show.verbatim(f"{moment:%H:%M:%S}.{event['received'] % 1000:03d}  {place}  {shown}")


_WRITE = {Form.TABLE: _row, Form.RAW: _raw, Form.JSON: _json}
