"""
What is declared and runs, as `trackmate plan` compares it with what is written.
"""

from typing import Any

from typing_extensions import TypedDict

from trackmate.dev.instance import Instance
from trackmate.hiding import hidden
from trackmate_contract.affiliate import Affiliate
from trackmate_contract.pipeline import Pipeline


class Declared(TypedDict):
    """One resource; `name` of a pipeline is `affiliate/pipeline`."""

    kind: str
    name: str
    file: str
    spec: Any
    """
    With its defaults; the values of headers and a URL's query by their SHA-256: they may be secret.
    """


def manifest_of(resource: Affiliate | Pipeline, name: str, file: str) -> Declared:
    whole = resource.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {"kind": whole["kind"], "name": name, "file": file, "spec": hidden(whole["spec"])}


def all_declared(instance: Instance) -> list[Declared]:
    found, files = [], instance.files
    for name, running in sorted(instance.affiliates.items()):
        found.append(manifest_of(running.affiliate, name, files[name,]))
        for pipeline, declaration in sorted(running.pipelines.declared.items()):
            file = files[running.affiliate.namespace, pipeline]
            found.append(manifest_of(declaration.manifest, f"{name}/{pipeline}", file))
    return found
