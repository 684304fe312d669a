"""
The write keys of an affiliate on a cluster: `book.json` in its Secret is changed, and the operator
makes `keys.json` of it. The spec is never written, so that commands and Git do not fight.
"""

import json
import time
from base64 import b64encode
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from trackmate.cluster import finding
from trackmate.cluster.waiting import taken_up
from trackmate.errors import Declined, Unconfirmed
from trackmate_contract import keybook
from trackmate_contract.affiliate import Key
from trackmate_contract.faults import Faulty
from trackmate_contract.keybook import Book, UnknownKey
from trackmate_contract.names import keys_secret
from trackmate_contract.quantity import epoch_ms, seconds
from trackmate_contract.sentences import made, without_nulls
from trackmate_operator.cluster import Cluster, Stale
from trackmate_operator.declared import (
    PAUSED,
    accepted,
    annotation,
    book_of,
    namespace_of,
    text_of,
)
from trackmate_operator.kinds import SECRET, Ref
from trackmate_operator.plan.programs import BOOK_FILE, KEYS_FILE
from trackmate_operator.tenant import Document

_TRIES = 10

Keys = list[dict[str, Any]]


class _Held(NamedTuple):
    """The keys of one affiliate, as read."""

    affiliate: Document
    where: Ref
    secret: Document

    @property
    def book(self) -> Book:
        try:
            return book_of(self.secret)
        except ValueError as why:
            raise Declined(
                f"{self.where} was changed by hand: {why}. Delete it: the operator makes it anew "
                "as it was."
            ) from None

    @property
    def keys(self) -> Keys:
        try:
            found: Keys = json.loads(text_of(self.secret, KEYS_FILE) or "[]")
        except ValueError:
            raise Declined(
                f"{self.where} was changed by hand, and its {KEYS_FILE} cannot be read; the "
                "operator mends it: trackmate doctor"
            ) from None
        return found

    @property
    def spec(self) -> Sequence[Key]:
        try:
            return accepted(self.affiliate).spec.ingest.keys
        except Faulty:  # which its conditions say; the operator goes on with what it had
            return ()


async def issued(cluster: Cluster, name: str) -> Keys:
    """As the programs have them."""
    return (await _held(cluster, name)).keys


async def create(cluster: Cluster, name: str, wanted: dict[str, Any]) -> Keys:
    """A key beside those of the spec; `wanted` as in `spec.ingest.keys`. Raises Declined."""
    try:
        key = made(Key, without_nulls(wanted))
    except Faulty as faulty:
        raise Declined(f"{faulty}.") from None

    def change(book: Book) -> Book:
        return keybook.create(
            book,
            key.name,
            use=key.use,
            origins=key.origins,
            now_ms=_now_ms(),
            expires_ms=None if key.expires is None else epoch_ms(key.expires),
        )

    return await _changed(cluster, name, key.name, change)


async def rotate(cluster: Cluster, name: str, key: str, grace: str) -> Keys:
    """A new value; the old one works on for the grace. Raises Declined."""
    grace_ms = _grace_ms(grace)
    spec = (await _held(cluster, name)).spec
    if any(one.name == key and one.value_from is not None for one in spec):
        raise Declined(f"The value of {key!r} comes from a Secret. Change it there.")
    return await _changed(
        cluster,
        name,
        key,
        lambda book: keybook.rotate(book, key, now_ms=_now_ms(), grace_ms=grace_ms),
    )


async def revoke(cluster: Cluster, name: str, key: str) -> Keys:
    """The end of every value of the key. Raises Declined."""
    return await _changed(
        cluster, name, key, lambda book: keybook.revoke(book, key, now_ms=_now_ms())
    )


def ends_at_once(grace: str) -> bool:
    """Whether to rotate so is to revoke."""
    return _grace_ms(grace) == 0


def _grace_ms(grace: str) -> int:
    try:
        return 0 if grace in {"0", "0s"} else seconds(grace) * 1000
    except ValueError as error:
        raise Declined(str(error)) from None


async def _held(cluster: Cluster, name: str) -> _Held:
    affiliate = await finding.affiliate(cluster, name)
    where = Ref(SECRET, keys_secret(name), namespace_of(affiliate))
    secret = await cluster.get(where)
    if secret is None:
        raise Declined(
            f"{where} is not there yet: the operator makes it. See why it has not: trackmate "
            f"status {name}"
        )
    return _Held(affiliate, where, secret)


async def _changed(cluster: Cluster, name: str, key: str, change: Callable[[Book], Book]) -> Keys:
    """All keys, once the operator has made them of the changed book. Raises Unconfirmed."""
    held, book = await _written(cluster, name, change)
    wanted = _told(keybook.issued(book, held.spec, root=b"", affiliate_id="", given={}), key)

    async def look() -> bool:
        nonlocal held
        held = await _held(cluster, name)
        return _told(held.keys, key) == wanted

    if await taken_up(look):
        return held.keys
    why = annotation(held.affiliate, PAUSED)
    raise Unconfirmed(
        f"{held.where} has the change, but affiliate {name!r} is paused ({why}), so that it works "
        f"once it goes on: trackmate resume {name}"
        if why is not None
        else f"{held.where} has the change, but no operator has made the keys of it, so that the "
        "old ones still work. See what is wrong: trackmate doctor"
    )


async def _written(
    cluster: Cluster, name: str, change: Callable[[Book], Book]
) -> tuple[_Held, Book]:
    for _ in range(_TRIES):
        held = await _held(cluster, name)
        try:
            book = change(held.book)
        except (UnknownKey, ValueError) as error:
            raise Declined(str(error)) from None
        if book == held.book:
            return held, book
        try:
            await cluster.patch(held.where, _operations(held.secret, book))
        except Stale:
            continue
        return held, book
    raise Declined(f"{held.where} is changed by others all the time; try again later.")


def _operations(secret: Document, book: Book) -> list[Document]:
    text = json.dumps(keybook.to_document(book), indent=2, ensure_ascii=False) + "\n"
    return [
        {
            "op": "test",
            "path": "/metadata/resourceVersion",
            "value": secret["metadata"]["resourceVersion"],
        },
        {
            "op": "add",
            "path": f"/data/{BOOK_FILE}",
            "value": b64encode(text.encode()).decode(),
        },
    ]


def _told(keys: Keys, name: str) -> list[dict[str, Any]]:
    """All that is told of a key, but its values."""
    return [
        {field: value for field, value in one.items() if field != "key"}
        for one in keys
        if one["name"] == name
    ]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
