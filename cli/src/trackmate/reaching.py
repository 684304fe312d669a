"""
Which Trackmate a command talks to: the embedded instance of the current folder when there is one,
else the cluster of the current kubeconfig context; a context that is named is always a cluster's.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

from trackmate import client
from trackmate.client import Client
from trackmate.cluster import kubeconfig
from trackmate.dev.address import Address
from trackmate.errors import NotHere, Nowhere

if TYPE_CHECKING:
    from trackmate.cluster.client import OnCluster

Target: TypeAlias = "Client | OnCluster"

_NOTHING = (
    "No Trackmate runs in this folder, and there is no kubeconfig of a cluster. Start one here: "
    "trackmate dev; or name a kubeconfig in KUBECONFIG, and its context with --context."
)


@contextmanager
def connected(context: str | None) -> Iterator[Target]:
    """What the commands talk to. Raises Refusal."""
    if is_cluster(context):
        with on_cluster(context) as cluster:
            yield cluster
    elif Address.read() is not None:
        with client.connected() as here:
            yield here
    else:
        raise Nowhere(_NOTHING)


@contextmanager
def on_cluster(context: str | None) -> Iterator["OnCluster"]:
    """A cluster. Raises Refusal."""
    from trackmate.cluster.client import connected as reached  # noqa: PLC0415 - half a second

    with reached(context) as cluster:
        yield cluster


def is_cluster(context: str | None) -> bool:
    """Whether a cluster is meant."""
    return context is not None or (Address.read() is None and kubeconfig.there())


@contextmanager
def here(command: str, instead: str) -> Iterator[Client]:
    """The embedded instance, for a command that no cluster knows yet. Raises Refusal."""
    if is_cluster(None):
        raise NotHere(
            f"No Trackmate runs in this folder, and `trackmate {command}` does not work on a "
            f"cluster yet. {instead}"
        )
    if Address.read() is None:
        raise Nowhere(_NOTHING)
    with client.connected() as found:
        yield found
