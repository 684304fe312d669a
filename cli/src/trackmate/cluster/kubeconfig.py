"""
Which context of which kubeconfig is meant: as kubectl has it, where kr8s looks into the first file
alone and takes any context where none is current.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from trackmate.errors import Refusal

_POD = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


class Unusable(Refusal):
    """The kubeconfig names no cluster to talk to."""


def there(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether there is a way to a cluster: a kubeconfig, or a pod's service account."""
    return any(path.is_file() for path in _paths(environment)) or _POD.is_file()


def context(named: str | None, environment: Mapping[str, str] = os.environ) -> str | None:
    """
    The context that is meant; None in a pod. Raises Unusable.
    """
    paths = [path for path in _paths(environment) if path.is_file()]
    if not paths and named is None:
        return None
    written = [_read(path) for path in paths]
    known = list(dict.fromkeys(_contexts(written)))
    current = next((one["current-context"] for one in written if one.get("current-context")), None)
    chosen = named or current
    where = ", ".join(map(str, paths)) or "the kubeconfig"
    if chosen is None:
        raise Unusable(f"No context is current in {where}; name one with --context.{_list(known)}")
    if chosen not in known:
        raise Unusable(f"There is no context {chosen!r} in {where}.{_list(known)}")
    return str(chosen)


def _paths(environment: Mapping[str, str]) -> Iterator[Path]:
    listed = environment.get("KUBECONFIG") or str(Path.home() / ".kube/config")
    return (Path(one) for one in listed.split(os.pathsep) if one)


def _read(path: Path) -> Mapping[str, Any]:
    try:
        found = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        what = str(error).partition("\n")[0]
        raise Unusable(f"The kubeconfig {str(path)!r} cannot be read: {what}.") from None
    if not isinstance(found, Mapping):
        raise Unusable(f"{str(path)!r} is no kubeconfig; see `kubectl config view`.")
    return found


def _contexts(written: list[Mapping[str, Any]]) -> Iterator[str]:
    for one in written:
        for found in one.get("contexts") or ():
            if isinstance(found, Mapping) and "name" in found:
                yield str(found["name"])


def _list(known: list[str]) -> str:
    return f" There is: {', '.join(known)}." if known else ""
