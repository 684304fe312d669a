"""
The API of the console, which the command line uses too.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from typing import Annotated, Any
from uuid import uuid4

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from trackmate.backbone import Wanted
from trackmate.declared import Declared
from trackmate.dev import shown, views
from trackmate.dev.instance import Instance
from trackmate.embedded import keybook
from trackmate.embedded.affiliate import EmbeddedAffiliate
from trackmate.embedded.clock import now_ms
from trackmate.embedded.running import Running
from trackmate_consume.pipeline import Asked
from trackmate_contract.affiliate import Key
from trackmate_contract.faults import Faulty
from trackmate_contract.keybook import UnknownKey
from trackmate_contract.quantity import epoch_ms, instant, seconds
from trackmate_contract.sentences import made, without_nulls
from trackmate_ingest.keys import Use

router = APIRouter(prefix="/api/affiliates")
manifests = APIRouter(prefix="/api/manifests")


# What looks into what runs is a coroutine: a file that is saved changes it on the same loop. What
# waits for the log or the books is none, and FastAPI gives it a thread.


async def instance_of(request: Request) -> Instance:
    found: Instance = request.app.state.instance
    return found


Here = Annotated[Instance, Depends(instance_of)]


async def running(name: str, here: Here) -> EmbeddedAffiliate:
    """The affiliate that the path names; 404 with what there is."""
    if name not in here.affiliates:
        known = ", ".join(sorted(here.affiliates)) or "none"
        raise HTTPException(404, f"No affiliate {name!r} runs here. There is: {known}.")
    return here.affiliates[name]


Named = Annotated[EmbeddedAffiliate, Depends(running)]


class Rotation(BaseModel):
    """How long the old value lives on."""

    grace: str = "24h"


@router.get("")
def list_affiliates(here: Here, request: Request) -> dict[str, Any]:
    url = request.app.state.url
    return {
        "affiliates": [shown.affiliate(a, url) for _, a in sorted(here.affiliates.items())],
        "faults": [misfit._asdict() for misfit in here.misfits],
        "notices": here.notices,
        "data": str(here.data),
    }


@manifests.get("")
async def list_manifests(here: Here) -> list[Declared]:
    """What is declared and runs."""
    return shown.all_declared(here)


@router.get("/{name}")
def show_affiliate(found: Named, request: Request) -> dict[str, Any]:
    return shown.affiliate(found, request.app.state.url)


@router.get("/{name}/figures")
def show_figures(found: Named) -> dict[str, Any]:
    return found.figures()


@router.get("/{name}/live")
async def show_live(found: Named, here: Here) -> StreamingResponse:
    feed = views.live(found.backbone, here.closing)
    return StreamingResponse(feed, media_type="text/event-stream")


@router.get("/{name}/records")
async def list_records(
    found: Named,
    here: Here,
    stream: str | None = None,
    since: str = "earliest",
    limit: Annotated[int | None, Field(ge=0)] = None,
    *,
    follow: bool = False,
) -> StreamingResponse:
    if stream is not None and stream not in (known := await found.backbone.streams()):
        what = f"Affiliate {found.name!r} has no stream {stream!r}. It has: "
        raise HTTPException(404, f"{what}{', '.join(sorted(known))}.")
    wanted = Wanted(
        stream,
        since_ms=_epoch_ms(since),
        from_end=since == "latest",
        limit=limit,
        follow=follow,
    )
    lines = views.tail(found.backbone, here.closing, wanted)
    return StreamingResponse(lines, media_type="application/x-ndjson")


@router.post("/{name}/keys")
async def create_key(found: Named, here: Here, wanted: dict[str, Any]) -> list[dict[str, Any]]:
    """A key beside those of the spec; `wanted` as there, and without a `use` it is a server's."""
    try:
        key = made(Key, without_nulls({"use": "Server", **wanted}))
    except Faulty as faulty:
        raise HTTPException(422, f"{faulty}.") from None
    expires_ms = epoch_ms(key.expires) if key.expires else None

    def change(connection: sqlite3.Connection) -> None:
        keybook.create(
            connection,
            key.name,
            use=Use(key.use),
            origins=key.origins,
            now_ms=now_ms(),
            expires_ms=expires_ms,
        )

    return await _change(found, here, change)


@router.post("/{name}/keys/{key}/rotate")
async def rotate_key(
    found: Named, here: Here, key: str, rotation: Rotation
) -> list[dict[str, Any]]:
    if key in found.given:
        raise HTTPException(409, f"The value of {key!r} comes from a Secret. Change it there.")
    grace_ms = _grace_ms(rotation.grace)
    return await _change(
        found, here, lambda c: keybook.rotate(c, key, now_ms=now_ms(), grace_ms=grace_ms)
    )


@router.post("/{name}/keys/{key}/revoke")
async def revoke_key(found: Named, here: Here, key: str) -> list[dict[str, Any]]:
    return await _change(found, here, lambda c: keybook.revoke(c, key, now_ms=now_ms()))


async def pipeline_of(found: Named, pipeline: str) -> Running:
    """The pipeline that the path names; 404 with what there is."""
    if pipeline not in found.pipelines.running:
        known = ", ".join(sorted(found.pipelines.running))
        what = f"Affiliate {found.name!r} runs no pipeline {pipeline!r}. It runs: {known}."
        raise HTTPException(404, what)
    return found.pipelines.running[pipeline]


NamedPipeline = Annotated[Running, Depends(pipeline_of)]


class Pause(BaseModel):
    """Why, for those who find it paused."""

    reason: Annotated[str, Field(min_length=1, max_length=500)] = "paused by hand"


class ReplayLetters(BaseModel):
    """Which dead letters to send again, by number; all without it."""

    letters: Annotated[list[int], Field(min_length=1, max_length=10_000)] | None = None


@router.post("/{name}/pipelines/{pipeline}/pause")
async def pause_pipeline(found: Named, running: NamedPipeline, pause: Pause) -> dict[str, Any]:
    await running.pause(pause.reason)
    return await asyncio.to_thread(shown.pipeline, found, running)


@router.post("/{name}/pipelines/{pipeline}/resume")
async def resume_pipeline(found: Named, running: NamedPipeline) -> dict[str, Any]:
    await running.resume()
    if running.control.paused:
        raise HTTPException(409, f"It stays paused: {running.control.paused}.")
    return await asyncio.to_thread(shown.pipeline, found, running)


@router.get("/{name}/pipelines/{pipeline}/dead-letters")
def list_dead_letters(
    running: NamedPipeline,
    after: Annotated[int, Field(ge=0)] = 0,
    limit: Annotated[int, Field(ge=1, le=1000)] = 100,
) -> dict[str, Any]:
    """In the order of being put aside, behind a number."""
    kept = running.group.kept(after=after, most=limit)
    letters = [shown.dead_letter(letter) for letter in kept]
    return {"count": running.group.waiting(), "letters": letters}


@router.get("/{name}/pipelines/{pipeline}/dead-letters/{number}")
def show_dead_letter(running: NamedPipeline, number: int) -> dict[str, Any]:
    kept = running.group.one(number)
    if kept is None:
        raise HTTPException(404, f"Pipeline {running.pipeline.name!r} has no dead letter {number}.")
    return shown.dead_letter(kept)


@router.post("/{name}/pipelines/{pipeline}/dead-letters/replay")
async def replay_dead_letters(running: NamedPipeline, wanted: ReplayLetters) -> dict[str, Any]:
    """Send dead letters again; those that are refused again stay, with the new reason."""
    replay_id = f"letters-{uuid4().hex[:12]}"
    waiting = await asyncio.to_thread(running.group.numbers, wanted.letters)
    missing = sorted(set(wanted.letters or ()) - waiting)
    if missing:
        what = f"Pipeline {running.pipeline.name!r} has no dead letter {missing[0]}."
        raise HTTPException(404, what)
    if waiting:
        await running.group.ask(Asked(replay_id, None, 0, wanted.letters))
    return {"replay": replay_id, "letters": len(waiting)}


async def _change(
    found: EmbeddedAffiliate, here: Instance, change: Callable[[sqlite3.Connection], None]
) -> list[dict[str, Any]]:
    try:
        await found.change_keys(change)
    except UnknownKey as error:
        raise HTTPException(404, str(error)) from None
    except ValueError as error:
        raise HTTPException(409, str(error)) from None
    here.open_doors()
    return [shown.write_key(key) for key in found.keys]


def _epoch_ms(since: str) -> int:
    if since in {"earliest", "latest"}:
        return 0
    try:
        return epoch_ms(instant(since))
    except ValueError as error:
        raise HTTPException(422, str(error)) from None


def _grace_ms(grace: str) -> int:
    try:
        return 0 if grace in {"0", "0s"} else seconds(grace) * 1000
    except ValueError as error:
        raise HTTPException(422, str(error)) from None
