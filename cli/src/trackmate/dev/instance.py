"""
The running instance: the affiliates of a folder, made, changed and put away as the folder says.
"""

import asyncio
import os
import secrets
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path

from trackmate.backbone import Unready
from trackmate.embedded.affiliate import BackboneOf, EmbeddedAffiliate, NameConflict
from trackmate.embedded.running import Declaration
from trackmate.errors import CannotStart
from trackmate.folder import (
    Declared,
    Folder,
    Running,
    namespace_conflict,
    optional_secret_refs,
    secret_refs,
    secret_value,
)
from trackmate.misfit import Misfit
from trackmate.spelling import misspelt
from trackmate_contract.affiliate import Affiliate
from trackmate_contract.pipeline import Pipeline
from trackmate_ingest.app import Ingest
from trackmate_ingest.intake import Directory
from trackmate_ingest.metrics import Metrics
from trackmate_ingest.standing import Standing

_ROOT_BYTES = 32


@dataclass
class Changes:
    """What one look at the folder led to."""

    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    misfits: list[Misfit] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.removed or self.misfits or self.notices)


class Instance(Standing):
    """Every affiliate of the folder, on the data of one directory."""

    def __init__(self, data: Path, metrics: Metrics, backbone_of: BackboneOf) -> None:
        data.mkdir(parents=True, exist_ok=True)
        data.chmod(0o700)  # events are nobody else's
        self.data = data
        self.metrics = metrics
        self._backbone_of = backbone_of
        self.affiliates: dict[str, EmbeddedAffiliate] = {}
        self.misfits: list[Misfit] = []
        self.notices: list[str] = []
        self.ingest = Ingest(Directory([], loopback=True), metrics, self)
        self.waits = False
        """Whether something could not be carried that may be later, without a change of a file."""
        self.closing = asyncio.Event()
        """Set when the process is to stop: live views end themselves."""
        self._root = _root_secret(data)
        self._files: dict[str, str] = {}
        self._pipeline_files: dict[tuple[str, str], str] = {}

    async def apply(self, folder: Folder) -> Changes:
        """Make the running state what the folder says; what is faulty there stays as it was."""
        changes = Changes(misfits=list(folder.misfits), notices=list(folder.notices))
        self.waits = False
        going = {
            name
            for name in self.affiliates
            if name not in folder.affiliates and self._files[name] not in folder.broken
        }
        for name, declared in folder.affiliates.items():
            if owner := self._owner(declared.affiliate, going):
                self.waits = True
                fault = namespace_conflict(declared.affiliate.namespace, owner)
                changes.misfits.append(declared.misfit(*fault))
                continue
            try:
                await self._apply_one(declared, folder, changes)
            except NameConflict as conflict:
                line = declared.lines.find("spec.id")
                changes.misfits.append(Misfit(declared.file, line, "spec.id", str(conflict)))
            except Unready as fault:
                self.waits = True
                changes.misfits.append(Misfit(declared.file, None, "", str(fault)))
            except sqlite3.Error as error:
                what = (
                    f"its data in {str(self.data)!r} cannot be opened ({error}); restore the file"
                )
                changes.misfits.append(Misfit(declared.file, None, "", what))
            self._files[name] = declared.file
        await self._apply_pipelines(folder, changes)
        leaving: list[EmbeddedAffiliate] = []
        for name in sorted(going):
            leaving.append(self.affiliates.pop(name))
            changes.removed.append(name)
        self.misfits, self.notices = changes.misfits, changes.notices
        self.open_doors()  # and close those of who leaves, before their files
        for running in leaving:
            await running.close()
        return changes

    @property
    def files(self) -> Running:
        """Where what runs is declared."""
        found: dict[tuple[str, ...], str] = {}
        for name, running in self.affiliates.items():
            found[name,] = self._files[name]
            for pipeline in running.pipelines.declared:
                found[running.affiliate.namespace, pipeline] = self._pipeline_files[name, pipeline]
        return found

    def note(self) -> str:
        notes = (running.backbone.note for running in self.affiliates.values())
        return next(filter(None, notes), "")

    def open_doors(self) -> None:
        """Let ingest see the affiliates and keys as they are now."""
        intakes = [running.intake() for running in self.affiliates.values()]
        self.ingest.collector.directory = Directory(intakes, loopback=True)

    async def close(self) -> None:
        for running in self.affiliates.values():
            await running.close()

    def _owner(self, affiliate: Affiliate, going: set[str]) -> str | None:
        """Who else runs in its namespace, and stays: perhaps as it was, for a fault of its file."""
        others = {
            running.affiliate.namespace: name
            for name, running in self.affiliates.items()
            if name != affiliate.name and name not in going
        }
        return others.get(affiliate.namespace)

    async def _apply_one(self, declared: Declared, folder: Folder, changes: Changes) -> None:
        affiliate = declared.affiliate
        given = _given(folder, affiliate)
        running = self.affiliates.get(affiliate.name)
        if running is None:
            running = EmbeddedAffiliate(affiliate, self.data, self._root, self._backbone_of)
            try:
                await running.start(given)
            except (NameConflict, Unready):
                await running.close()
                raise
            self.affiliates[affiliate.name] = running
            changes.added.append(affiliate.name)
        elif running.affiliate != affiliate or running.given != given:
            await running.follow(affiliate, given)
            changes.changed.append(affiliate.name)

    async def _apply_pipelines(self, folder: Folder, changes: Changes) -> None:
        for name in folder.affiliates:
            running = self.affiliates.get(name)
            if running is None:
                continue
            wanted = await self._wanted(running, folder, changes)
            before = running.pipelines.declared
            try:
                await running.follow_pipelines(wanted)
            except Unready as fault:
                self.waits = True
                changes.misfits.append(Misfit(self._files[name], None, "", str(fault)))
            for pipeline in sorted({*before, *wanted}):
                if before.get(pipeline) != wanted.get(pipeline):
                    kind = changes.removed if pipeline not in wanted else changes.changed
                    (changes.added if pipeline not in before else kind).append(f"{name}/{pipeline}")
        for refused in folder.refused:
            changes.misfits += await misspelt(refused)

    async def _wanted(
        self, running: EmbeddedAffiliate, folder: Folder, changes: Changes
    ) -> dict[str, Declaration]:
        """What is to run; a pipeline whose file is faulty, or that is, stays as it was."""
        namespace = running.affiliate.namespace
        before = running.pipelines.declared
        wanted = {
            name: declaration
            for name, declaration in before.items()
            if self._pipeline_files.get((running.name, name)) in folder.broken
        }
        for (where, name), declared in folder.pipelines.items():
            if where != namespace or folder.owners[where].name != running.name:
                continue
            self._pipeline_files[running.name, name] = declared.file
            declaration = Declaration(declared.pipeline, _secrets(folder, declared.pipeline))
            if declaration != before.get(name) and (misfits := await misspelt(declared)):
                changes.misfits += misfits
                if name in before:
                    wanted[name] = before[name]
                continue
            wanted[name] = declaration
        return wanted


def _secrets(folder: Folder, pipeline: Pipeline) -> dict[tuple[str, str], str]:
    """The values that the pipeline names: no other Secret's change restarts it."""
    refs = [ref for _, ref in (*secret_refs(pipeline), *optional_secret_refs(pipeline))]
    held = {ref: folder.secrets[pipeline.namespace, ref.name] for ref in refs}
    return {(ref.name, ref.key): held[ref][ref.key] for ref in refs if ref.key in held[ref]}


def _given(folder: Folder, affiliate: Affiliate) -> dict[str, str]:
    values = {
        key.name: secret_value(folder, affiliate, key.name) for key in affiliate.spec.ingest.keys
    }
    return {name: value for name, value in values.items() if value is not None}


def _root_secret(data: Path) -> bytes:
    """What every write key is derived from; made once."""
    path = data / "root.secret"
    if not path.exists():
        draft = data / f"root.secret.{os.getpid()}"
        draft.touch(mode=0o600)
        with draft.open("wb") as file:
            file.write(secrets.token_bytes(_ROOT_BYTES))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    root = path.read_bytes()
    if len(root) != _ROOT_BYTES:
        raise CannotStart(
            f"{str(path)!r} has {len(root)} bytes, not {_ROOT_BYTES}. Restore it: the write keys "
            "come from it; or remove it, and every key gets a new value."
        )
    return root
