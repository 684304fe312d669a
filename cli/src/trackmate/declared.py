"""
What is declared, in a file or by what runs: the form in which `trackmate plan` compares the two.
"""

from typing import Any

from typing_extensions import TypedDict

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
