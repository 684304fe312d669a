"""
What is declared and runs, as `trackmate plan` compares it with what is written.
"""

from hashlib import sha256
from typing import Any

from typing_extensions import TypedDict

from trackmate.dev.instance import Instance
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
    http = whole["spec"].get("sink", {}).get("http", {})
    for header in http.get("headers", ()):
        if "value" in header:
            header["value"] = _digest(header["value"])
    if "?" in http.get("url", ""):
        url, _, query = http["url"].partition("?")
        http["url"] = f"{url}?{_digest(query)}"
    return {"kind": whole["kind"], "name": name, "file": file, "spec": whole["spec"]}


def _digest(secret: str) -> str:
    """
    >>> _digest("token=abc")
    'sha256:906b1a00bc75e17c'
    """
    return f"sha256:{sha256(secret.encode()).hexdigest()[:16]}"


def all_declared(instance: Instance) -> list[Declared]:
    found, files = [], instance.files
    for name, running in sorted(instance.affiliates.items()):
        found.append(manifest_of(running.affiliate, name, files[name,]))
        for pipeline, declaration in sorted(running.pipelines.declared.items()):
            file = files[running.affiliate.namespace, pipeline]
            found.append(manifest_of(declaration.manifest, f"{name}/{pipeline}", file))
    return found
