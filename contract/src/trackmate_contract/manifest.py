"""
From a YAML document to an Affiliate or a Pipeline, or to all that is wrong with it.

The command, the embedded mode and the operator read manifests here and nowhere else, so that all of
them take the same ones and say the same about the others.
"""

from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches

from . import rules
from .affiliate import Affiliate
from .faults import Fault, Faulty, Place
from .pipeline import Pipeline
from .quantity import quoted
from .sentences import made, without_nulls

_KINDS: dict[str, tuple[type[Affiliate | Pipeline], Callable[[Place], Iterator[Fault]]]] = {
    "Affiliate": (Affiliate, rules.affiliate),
    "Pipeline": (Pipeline, rules.pipeline),
}


def parse(document: object) -> Affiliate | Pipeline:
    """
    The document's Affiliate or Pipeline; raises Faulty with all faults at once.

    Takes what is written in a file as well as what the API server answers: `status` and the
    server's own metadata are passed over, and a null is as good as nothing.

    >>> document = {"apiVersion": "trackmate.io/v1alpha1", "kind": "Affiliate"}
    >>> parse({**document, "metadata": {"name": "acme"}, "spec": {}}).spec.streams[0].name
    'events'
    >>> parse({**document, "metadata": {"name": "acme"}, "spec": {"stream": []}})
    Traceback (most recent call last):
    trackmate_contract.faults.Faulty: spec.stream: unknown field 'stream'; did you mean 'streams'?
    """
    if not isinstance(document, Mapping):
        raise Faulty((Fault("", f"{quoted(document)} is not a manifest; begin with apiVersion"),))
    present = without_nulls({**document, "status": None})
    kind = Place("", present).at("kind")
    if str(kind.value) not in _KINDS:
        raise Faulty((_wrong_kind(kind),))
    model, relate = _KINDS[str(kind.value)]
    return made(model, present, related=relate(Place("", present)))


def _wrong_kind(kind: Place) -> Fault:
    if kind.value is None:
        return kind.fault("'kind' is missing; add it, like kind: Affiliate")
    close = get_close_matches(str(kind.value).capitalize(), _KINDS, n=1)
    cure = f"did you mean {close[0]!r}?" if close else "write Affiliate or Pipeline"
    return kind.fault(f"{quoted(kind.value)} is not a kind of Trackmate; {cure}")
