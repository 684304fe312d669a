"""
The `webhook-id` of a request: the same for the same events, however often they are sent, so that a
receiver can know a repeat.

An event's own id stands for it where it may: visible ASCII without `.`, which parts what is signed
(Standard Webhooks: an id that others choose must not have one), and nothing that could be taken for
an id made here, which begins with `tm_` or ends in `~` and a number.
"""

import re
from collections.abc import Iterable
from hashlib import sha256

_PLAIN = re.compile(r"(?!tm_)[!-\-/-}]{1,150}")  # no '.' and no '~'


def event_id(record_id: str, part: int = 0) -> str:
    """
    Of a request with one document, which is the `part`th of its event (0 the first).

    >>> event_id("order-1"), event_id("order-1", 2)
    ('order-1', 'order-1~2')
    >>> event_id("order.1")[:12]
    'tm_d29a3298c'
    """
    plain = _PLAIN.fullmatch(record_id)
    name = record_id if plain else _digest(b"event ", record_id.encode("utf-8", "surrogatepass"))
    return _part(name, part)


def batch_id(record_ids: Iterable[str], part: int = 0) -> str:
    """Of a request with the documents of these events, in this order."""
    encoded = [record_id.encode("utf-8", "surrogatepass") for record_id in record_ids]
    counted = b"".join([b"%d:%b" % (len(one), one) for one in encoded])
    return _part(_digest(b"batch ", counted), part)


def _part(name: str, part: int) -> str:
    return f"{name}~{part}" if part else name


def _digest(kind: bytes, what: bytes) -> str:
    return f"tm_{sha256(kind + what).hexdigest()}"
