"""
What the API server says of a manifest, without keeping it, beside what our own parser says.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from itertools import count
from typing import Any

import httpx

from trackmate_contract.faults import Faulty
from trackmate_contract.manifest import parse

Manifest = dict[str, Any]

_STRICTLY = {"fieldValidation": "Strict"}  # as kubectl asks
_DRY = {**_STRICTLY, "dryRun": "All"}
_UNCHECKED = "some validation rules were not checked"
"""Beside faults of the schema, which hide those of rules."""

_numbers = count()


@dataclass(frozen=True)
class Admission:
    """Of one API server; Pipelines are asked about in `namespace`, which is there."""

    client: httpx.Client
    namespace: str

    def manifest(self, kind: str, spec: object, name: str | None = None) -> Manifest:
        metadata = {"name": name or f"case-{os.getpid()}-{next(_numbers)}"}
        if kind == "Pipeline":
            metadata["namespace"] = self.namespace
        version = "trackmate.io/v1alpha1"
        return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}

    def create(self, manifest: Manifest) -> list[str]:
        """The faults that the API server finds in a new resource; none when it takes it."""
        return _faults(self.client.post(self._path(manifest), params=_DRY, content=_json(manifest)))

    def replace(self, manifest: Manifest, spec: object) -> list[str]:
        """The same of another spec for one that was made."""
        path = f"{self._path(manifest)}/{manifest['metadata']['name']}"
        changed = {**manifest, "spec": spec}
        return _faults(self.client.put(path, params=_DRY, content=_json(changed)))

    def made(self, manifest: Manifest, status: Mapping[str, object] | None = None) -> Manifest:
        """It, as the API server keeps it, with what the operator would say in its status."""
        path = self._path(manifest)
        answer = self.client.post(path, params=_STRICTLY, content=_json(manifest))
        assert answer.is_success, answer.text
        kept = answer.json()
        if status:
            place = f"{path}/{kept['metadata']['name']}/status"
            answer = self.client.put(place, content=_json({**kept, "status": status}))
            assert answer.is_success, answer.text
        return dict(answer.json())

    def _path(self, manifest: Manifest) -> str:
        place = f"/namespaces/{self.namespace}" if manifest["kind"] == "Pipeline" else ""
        return f"/apis/trackmate.io/v1alpha1{place}/{manifest['kind'].lower()}s"


def ours(manifest: Manifest) -> list[str]:
    """The faults that the parser finds."""
    try:
        parse(manifest)
    except Faulty as faulty:
        return [str(fault) for fault in faulty.faults]
    return []


def _faults(answer: httpx.Response) -> list[str]:
    if answer.is_success:
        return []
    said = answer.json()
    assert answer.status_code in {HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.BAD_REQUEST}, said
    causes = said.get("details", {}).get("causes", [])
    found = [f"{cause['field']}: {cause['message']}" for cause in causes] or [said["message"]]
    return [fault for fault in found if _UNCHECKED not in fault]


def _json(manifest: Manifest) -> str:
    return json.dumps(manifest, default=str)
