"""
The end of kopf's part: whatever it waits for, the process does not stay behind and see nothing.
"""

import asyncio
from contextlib import suppress
from typing import Any

import kopf
import pytest

from trackmate_operator import watching
from trackmate_operator.seen import Seen
from trackmate_operator.watching import Watches


class Exited(Exception):  # noqa: N818 - what happened
    pass


@pytest.fixture
def exits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    codes: list[int] = []

    def leave(code: int) -> None:
        codes.append(code)
        raise Exited

    monkeypatch.setattr("os._exit", leave)
    monkeypatch.setattr(watching, "_END_S", 0.1)
    return codes


def test_a_watch_that_does_not_end_is_left_with_the_process(
    exits: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        may_end = asyncio.Event()

        async def fails() -> None:
            raise RuntimeError("File descriptor 17 is used by transport")

        async def stays() -> None:
            while not may_end.is_set():
                with suppress(asyncio.CancelledError):
                    await may_end.wait()

        async def spawned(**_: Any) -> list[asyncio.Task[None]]:
            return [asyncio.create_task(fails()), asyncio.create_task(stays())]

        monkeypatch.setattr(kopf, "spawn_tasks", spawned)
        try:
            with pytest.raises(Exited):
                await watches().run(begun=asyncio.Event(), stopping=asyncio.Event())
        finally:
            may_end.set()

    asyncio.run(scenario())
    assert exits == [1]


def test_a_watch_that_fails_says_so_where_all_of_them_end(
    exits: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async def fails() -> None:
            raise RuntimeError("no more")

        async def spawned(**_: Any) -> list[asyncio.Task[Any]]:
            return [asyncio.create_task(fails()), asyncio.create_task(asyncio.Event().wait())]

        monkeypatch.setattr(kopf, "spawn_tasks", spawned)
        with pytest.raises(RuntimeError, match="no more"):
            await watches().run(begun=asyncio.Event(), stopping=asyncio.Event())

    asyncio.run(scenario())
    assert exits == []


def watches() -> Watches:
    return Watches(
        Seen("{affiliate}.track.example.com"), lambda _: None, lambda _: None, strimzi=False
    )
