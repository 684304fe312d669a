"""
`trackmate plan`: what following a folder, or one more file, would make, change and remove. Nothing
is touched; all faults are said at once, as `dev` says them.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from trackmate.changes import Change, Plan, differences
from trackmate.client import Client
from trackmate.declared import manifest_of
from trackmate.errors import Refusal
from trackmate.folder import Folder, Owner, Running, read_file, read_folder
from trackmate.reaching import Target
from trackmate.spelling import look


class Unreadable(Refusal):
    """There is no such file or folder."""


def plan(path: Path, target: "Target | None") -> Plan:
    """Compare what is written with what runs; without an instance, with nothing."""
    if not path.exists():
        raise Unreadable(f"{str(path)!r} is neither a file nor a folder. Name one with -f.")
    if target is not None and target.on_cluster:
        return target.plan(path)
    return _plan(path, target)


def _plan(path: Path, client: Client | None) -> Plan:
    running = client.manifests() if client else []
    whole = path.is_dir()
    owners = _owners(client)
    folder = (
        read_folder(path, running=_files(running, owners)) if whole else read_file(path, owners)
    )
    asyncio.run(look(folder))
    wanted = _wanted(folder)
    before = {(found["kind"], found["name"]): found["spec"] for found in running}
    changes = list(_changes(before, wanted, remove=whole and not folder.misfits))
    return Plan(changes, folder.misfits, folder.notices)


def _owners(client: Client | None) -> dict[str, Owner]:
    """The affiliates that run, by namespace: one file may hold no more than a pipeline."""
    found = client.affiliates()["affiliates"] if client else []
    return {one["namespace"]: Owner(one["name"], tuple(one["streams"])) for one in found}


def _files(running: Sequence[Mapping[str, Any]], owners: Mapping[str, Owner]) -> Running:
    """Of two of one name the one that runs stays, as `dev` has it."""
    namespaces = {owner.name: namespace for namespace, owner in owners.items()}
    found: dict[tuple[str, ...], str] = {}
    for one in running:
        affiliate, _, pipeline = one["name"].partition("/")
        if affiliate in namespaces:  # else it was added or removed since
            found[(namespaces[affiliate], pipeline) if pipeline else (affiliate,)] = one["file"]
    return found


def _wanted(folder: Folder) -> dict[tuple[str, str], Any]:
    resources = [
        *(manifest_of(d.affiliate, d.affiliate.name, d.file) for d in folder.affiliates.values()),
        *(
            manifest_of(d.pipeline, f"{folder.owners[namespace].name}/{name}", d.file)
            for (namespace, name), d in folder.pipelines.items()
        ),
    ]
    return {(found["kind"], found["name"]): found["spec"] for found in resources}


def _changes(
    before: Mapping[tuple[str, str], Any], after: Mapping[tuple[str, str], Any], *, remove: bool
) -> Iterator[Change]:
    for key in sorted({*before, *after}):
        if key not in before:
            yield Change("add", *key)
        elif key not in after:
            if remove:
                yield Change("remove", *key, note="its data is retained")
        elif fields := list(differences("spec", before[key], after[key])):
            yield Change("change", *key, fields)
