"""
Structured logs: one JSON object a line, one line an outcome. Never an event's bytes, never a key,
never a query string; texts that clients chose are capped.
"""

import json
import logging
import re
import sys
import time

_LONGEST = 500  # characters of any one text
_MOST_SENTENCES = 1000  # that are remembered
_NUMBER = re.compile(r"\d+")


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


class Sparse(logging.Filter):
    """
    Lets a sentence through once in a while, whatever its numbers: librdkafka repeats what it
    complains of with every try.
    """

    def __init__(self, every_s: float = 60.0) -> None:
        super().__init__()
        self._every_s = every_s
        self._said: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """
        >>> sparse = Sparse()
        >>> again = "broker 1: connection refused (after 5 ms)", "broker 1: refused (after 71 ms)"
        >>> [sparse.filter(logging.makeLogRecord({"msg": text})) for text in (again[0], *again)]
        [True, False, True]
        """
        sentence = _NUMBER.sub("#", record.getMessage())
        if record.created - self._said.get(sentence, 0.0) < self._every_s:
            return False
        if len(self._said) >= _MOST_SENTENCES:
            self._said.clear()
        self._said[sentence] = record.created
        return True


def set_up() -> None:
    """Log to standard error: JSON, or plain lines where a person looks."""
    handler = logging.StreamHandler()
    handler.setFormatter(PlainLines() if sys.stderr.isatty() else JsonLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("trackmate").setLevel(logging.INFO)
    logging.getLogger("trackmate.kafka").addFilter(Sparse())


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
