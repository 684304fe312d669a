"""
The way to a cluster for the length of a command, and what is said where there is none.
"""

import asyncio
import re
import tempfile
import warnings
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx
from kr8s import APITimeoutError, ServerError

from trackmate.cluster import kubeconfig
from trackmate.errors import Declined, NoInstance, Refusal
from trackmate_operator.cluster import Cluster, Denied, Forbidden, Stale, Stranger, Unanswered

_REACHED_S = 15.0
_UNAUTHORIZED = 401
_FORBIDDEN = re.compile(
    r'User "(?P<who>[^"]*)" cannot (?P<verb>\S+) resource "(?P<resource>[^"]*)" '
    r'in API group "(?P<group>[^"]*)" (?P<where>at the cluster scope|in the namespace "[^"]*")'
)

Answer = TypeVar("Answer")


class Connection:
    """An open way to one cluster. What it cannot do, it says as a Refusal."""

    def __init__(self, cluster: Cluster, runner: asyncio.Runner) -> None:
        self.cluster = cluster
        self._runner = runner

    @property
    def name(self) -> str:
        """
        >>> class There:
        ...     context = "prod"
        >>> Connection(There(), None).name
        "the cluster of context 'prod'"
        """
        context = self.cluster.context
        return f"the cluster of context {context!r}" if context else "the cluster of this pod"

    def run(self, asked: Coroutine[Any, Any, Answer]) -> Answer:
        """The answer. Raises Refusal."""
        try:
            return self._runner.run(asked)
        except (Unanswered, Denied, Stale) as error:
            raise refusal(error, self.name) from None


def refusal(error: Exception, name: str) -> Refusal:
    """What is said to a person of what the API server did not do."""
    if isinstance(error, Forbidden):
        return Declined(forbidden(str(error)))
    if isinstance(error, Stranger):
        return Declined(_stranger(name))
    if isinstance(error, Stale):
        return Declined(f"It was changed by somebody else at the same moment; try again ({error}).")
    if isinstance(error, Denied):
        return Declined(f"The API server refuses: {error}")
    return NoInstance(_away(name, str(error)))


def forbidden(said: str) -> str:
    """
    The API server's sentence, with who can help.

    >>> forbidden(
    ...     'secrets "acme-keys" is forbidden: User "ann" cannot get resource "secrets" in API '
    ...     'group "" in the namespace "trackmate-acme"'
    ... )
    "You are 'ann' there, and may not get secrets in the namespace trackmate-acme. Ask the \
platform team for a role with the verb 'get' on 'secrets' there."
    """
    found = _FORBIDDEN.search(said)
    if found is None:
        return f"You may not: {said}. Ask the platform team for a role that allows it."
    resource = found["resource"] + (f".{found['group']}" if found["group"] else "")
    where = found["where"].replace('"', "").replace("at the cluster scope", "in the whole cluster")
    return (
        f"You are {found['who']!r} there, and may not {found['verb']} {resource} {where}. Ask the "
        f"platform team for a role with the verb {found['verb']!r} on {resource!r} there."
    )


def _stranger(name: str) -> str:
    return f"The API server of {name} does not know you: log in again, or name another --context."


def _away(name: str, why: str) -> str:
    return (
        f"The API server of {name} does not answer ({why}). See whether `kubectl version` reaches "
        "it, or name another --context."
    )


@contextmanager
def connected(named: str | None) -> Iterator[Connection]:
    """
    The cluster of a context: the one that is named, else the current one. Raises Refusal.
    """
    context = kubeconfig.context(named)
    with asyncio.Runner() as runner, _files_for_now(), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of versions that kr8s was not tried with
        connection = Connection(runner.run(_reached(context)), runner)
        try:
            yield connection
        finally:
            runner.run(connection.cluster.close())


async def _reached(context: str | None) -> Cluster:
    name = f"the cluster of context {context!r}" if context else "the cluster of this pod"
    try:
        return await asyncio.wait_for(Cluster.reached(context), _REACHED_S)
    except ServerError as error:
        code = error.response.status_code if error.response is not None else 0
        said = Stranger(str(error)) if code == _UNAUTHORIZED else Denied(str(error))
        raise refusal(said, name) from None
    except (httpx.HTTPError, APITimeoutError, OSError, TimeoutError) as error:
        raise NoInstance(_away(name, str(error) or type(error).__name__)) from None
    except (ValueError, LookupError, TypeError) as error:
        raise kubeconfig.Unusable(
            f"The kubeconfig does not say how to reach {name}: {error}. See `kubectl config view`."
        ) from None


@contextmanager
def _files_for_now() -> Iterator[None]:
    """kr8s writes keys of a kubeconfig to files for TLS, and leaves them there."""
    before = tempfile.tempdir
    with tempfile.TemporaryDirectory(prefix="trackmate-") as folder:
        tempfile.tempdir = folder
        try:
            yield
        finally:
            tempfile.tempdir = before
