"""
Structured logs: one JSON object a line, one line an outcome. Never an event's bytes, never a key,
never a query string; texts that clients chose are capped.
"""

import json
import logging
import sys
import time

from trackmate_ingest.rates import Bucket

_LONGEST = 500  # characters of any one text


class JsonLines(logging.Formatter):
    """Formats a record as one JSON line; `extra={"fields": {...}}` adds members."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": _rfc3339(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage()[:_LONGEST],
        }
        line.update(_capped(getattr(record, "fields", {})))
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


class PlainLines(logging.Formatter):
    """The same for a person at a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        fields = _capped(getattr(record, "fields", {}))
        detail = "  ".join(f"{name}={_visible(value)}" for name, value in fields.items())
        moment = time.strftime("%H:%M:%S", time.localtime(record.created))
        line = f"{moment}  {record.getMessage()}  {detail}".rstrip()
        if not record.exc_info:
            return line
        trace = self.formatException(record.exc_info).split("\n")
        return "\n".join([line, *(f"  {_visible(part)}" for part in trace)])


def set_up() -> None:
    """Log to standard error: JSON, or plain lines where a person looks."""
    handler = logging.StreamHandler()
    handler.setFormatter(PlainLines() if sys.stderr.isatty() else JsonLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("trackmate").setLevel(logging.INFO)


class Refusals:
    """Logs refused requests, at most some a second: a flood of them must not flood the log."""

    def __init__(self, logger: logging.Logger, *, per_second: float = 20) -> None:
        self._logger = logger
        self._bucket = Bucket(per_second, time.monotonic())
        self._suppressed = 0

    def log(self, *, status: int, kind: str, route: str, detail: str) -> None:
        if self._bucket.wait(1, time.monotonic()):
            self._suppressed += 1
            return
        fields: dict[str, object] = {
            "status": status,
            "kind": kind,
            "route": route,
            "detail": detail,
        }
        if self._suppressed:
            fields["suppressed"] = self._suppressed
            self._suppressed = 0
        self._logger.info("refused", extra={"fields": fields})


def _capped(fields: dict[str, object]) -> dict[str, object]:
    return {n: v[:_LONGEST] if isinstance(v, str) else v for n, v in fields.items()}


def _visible(value: object) -> str:
    """
    Control characters shown, not obeyed.

    >>> _visible("a\\x1b[2Jb")
    'a\\\\x1b[2Jb'
    """
    text = str(value)
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _rfc3339(seconds: float) -> str:
    """
    >>> _rfc3339(0.25)
    '1970-01-01T00:00:00.250Z'
    """
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds * 1000) % 1000:03d}Z"
