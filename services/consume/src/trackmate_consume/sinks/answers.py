"""
What an HTTP backend's answer means for the events that it was sent.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from trackmate_consume.sink import Disabled, Down, Refused

LONGEST_WAIT_S = 3600.0
"""That `Retry-After` may ask for."""

_SHOWN = 200  # characters of an answer
_TAKEN, _REDIRECTS, _REFUSALS = range(200, 300), range(300, 400), range(400, 500)
_BUSY = frozenset({408, 425, 429})
_MISDECLARED = frozenset({401, 403, 404, 405, 407})
"""
About the address or the credentials more likely than about an event: all wait until that is mended.
Where it is about an event after all, others are taken meanwhile, and the pipeline sees that.
"""

_BULK_ERRORS = re.compile(rb'"errors"\s*:\s*(true|false)')
_BULK_DOWN = re.compile(rb'"status"\s*:\s*(401|403|404|429|5\d\d)')
_BULK_REASON = re.compile(rb'"reason"\s*:\s*"((?:[^"\\]|\\.){0,1000})')


@dataclass(frozen=True)
class Answer:
    """An answer, of its body as much as was read."""

    status: int
    headers: Mapping[str, str]
    """Looked up in any case."""
    body: bytes


@dataclass(frozen=True)
class Words:
    """What an answer says, for people: without the secrets that a backend may repeat."""

    secrets: Sequence[str] = field(default=(), repr=False)

    def excerpt(self, answer: Answer) -> str:
        """
        >>> answer = Answer(400, {}, b"no\\n\\x1b[31m key-of-acme ")
        >>> Words(["key-of-acme"]).excerpt(answer)
        'no [31m […]'
        """
        if answer.headers.get("Content-Encoding", "identity") != "identity":
            return ""  # it was not asked for, and nothing is unpacked for a message
        return self.visible(answer.body)

    def visible(self, body: bytes) -> str:
        text = body.decode("utf-8", "replace")
        for secret in self.secrets:
            text = text.replace(secret, "[…]")
        shown = "".join([letter if letter.isprintable() else " " for letter in text])
        return " ".join(shown.split())[:_SHOWN]


def fault_of(answer: Answer, words: Words, *, now: float) -> Exception | None:
    """
    None where the events are delivered. `now`: in seconds since 1970.

    >>> fault_of(Answer(422, {}, b"no such user"), Words(), now=0)
    Refused('answered 422: no such user')
    """
    status = answer.status
    if status in _TAKEN:
        return None
    said = f"answered {status}"
    if status == HTTPStatus.GONE:
        return Disabled(f"{said}: it wants no more events; resume the pipeline when it does again")
    if status in _REDIRECTS:
        return Down(f"{said}: redirects are not followed; write the URL that it leads to")
    if excerpt := words.excerpt(answer):
        said = f"{said}: {excerpt}"
    if status in _BUSY | _MISDECLARED or status not in _REFUSALS:
        return Down(said, after_s=retry_after_s(answer.headers.get("Retry-After"), now=now))
    return Refused(said)


def retry_after_s(value: str | None, *, now: float) -> float | None:
    """
    In seconds, from seconds or a date (RFC 9110, 10.2.3); None where it says nothing of use.

    >>> retry_after_s("7", now=0), retry_after_s("Thu, 01 Jan 1970 00:01:00 GMT", now=50.0)
    (7.0, 10.0)
    >>> retry_after_s("soon", now=0), retry_after_s("9999999999", now=0)
    (None, 3600.0)
    """
    text = (value or "").strip()
    if re.fullmatch(r"[0-9]{1,15}", text):
        wait_s = float(text)
    else:
        try:
            wait_s = parsedate_to_datetime(text).timestamp() - now
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
    return min(wait_s, LONGEST_WAIT_S) if wait_s > 0 else None


def bulk_fault_of(answer: Answer, words: Words) -> Exception | None:
    """
    What a 2xx of Elasticsearch's or OpenSearch's `_bulk` says about its documents: it is 200 too
    when none of them was taken. `errors` comes before the items, so that it is there in the part of
    a long answer that was read.

    >>> bulk_fault_of(Answer(200, {}, b'{"took":1,"errors":false,"items":[]}'), Words())
    """
    found = _BULK_ERRORS.search(answer.body)
    if found is None:
        return Down("answered without `errors`, so it is not known which documents it took")
    if found[1] == b"false":
        return None
    reason = _BULK_REASON.search(answer.body)
    said = "answered that documents failed: " + words.visible(reason[1] if reason else answer.body)
    return Down(said) if _BULK_DOWN.search(answer.body) else Refused(said)
