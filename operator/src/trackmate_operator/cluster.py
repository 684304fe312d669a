"""
The API server, as far as the operator asks it: objects are JSON, and no more than JSON.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import httpx
from kr8s import APITimeoutError, ServerError

from trackmate_operator.kinds import Kind, Ref, ref
from trackmate_operator.plan.objects import MANAGER
from trackmate_operator.server import Answer, Body, NoAnswer, Server
from trackmate_operator.tenant import Document

_BAD_REQUEST = 400
_UNAUTHORIZED = 401
_FORBIDDEN = 403
_NOT_FOUND = 404
_CONFLICT = 409
_UNPROCESSABLE = 422
_TOO_MANY = 429

_FORCED = {"fieldManager": MANAGER, "force": "true"}
_APPLY = "application/apply-patch+yaml"
_JSON_PATCH = "application/json-patch+json"


NOT_REACHED = (APITimeoutError, ServerError, httpx.HTTPError, OSError, ValueError)
"""What keeps from an API server at first: of the way there, or of the files that describe it."""


class Unanswered(Exception):  # noqa: N818 - what happened
    """The API server gave no answer, or none that says anything of the request."""


class Denied(Exception):  # noqa: N818 - what happened
    """The API server does not do it; its own sentence."""


class Forbidden(Denied):
    """Whoever asks has no right to; the sentence names who, the verb and the resource."""


class Stranger(Denied):
    """The API server does not know who asks."""


class Stale(Exception):  # noqa: N818 - what happened
    """The object has changed since it was read."""


class Cluster:
    """Every method raises Unanswered and Denied."""

    def __init__(self, server: Server, wrote: Callable[[Document], None] = lambda _: None) -> None:
        self._server = server
        self._wrote = wrote

    def telling(self, wrote: Callable[[Document], None]) -> "Cluster":
        """The same, that tells of each object that it wrote, as it is then."""
        return Cluster(self._server, wrote)

    @classmethod
    async def reached(cls, context: str | None = None) -> "Cluster":
        """
        By the kubeconfig of the environment, in the context that is current there or is named, or
        by the pod's service account. Raises one of NOT_REACHED.
        """
        return cls(await Server.reached(context))

    @property
    def context(self) -> str:
        """The kubeconfig's; "" by a service account."""
        return self._server.context

    @property
    def url(self) -> str:
        """Where the API server is."""
        return self._server.url

    async def close(self) -> None:
        await self._server.close()

    async def get(self, wanted: Ref) -> Document | None:
        try:
            found: Document = await self._ask(
                "GET", wanted.kind, wanted.namespace, path=f"/{wanted.name}"
            )
        except _Missing:
            return None
        return found

    async def list(
        self, kind: Kind, *, namespace: str | None = None, labels: str = ""
    ) -> Sequence[Document]:
        """All of a kind. One that the server does not know has none."""
        params = {"labelSelector": labels} if labels else {}
        try:
            found = await self._ask("GET", kind, namespace, params=params)
        except _Missing:
            return []
        whole = {"apiVersion": kind.api_version, "kind": kind.kind}
        return [{**whole, **item} for item in found["items"]]

    async def serves(self, kind: Kind) -> bool:
        """Whether the API server knows the kind."""
        try:
            found = await self._answer("GET", f"/apis/{kind.api_version}")
        except _Missing:
            return False
        return any(one["name"] == kind.plural for one in found["resources"])

    async def version(self) -> str:
        """Of the API server, as `v1.34.2`."""
        found = await self._answer("GET", "/version")
        return str(found["gitVersion"])

    async def apply(self, document: Document, *, dry_run: bool = False) -> Document:
        """Make it, or take over the fields that are in it (server-side apply, forced)."""
        asked = {**_FORCED, **_dry(dry_run)}
        return await self._write(ref(document), "PATCH", Body(document, _APPLY), params=asked)

    async def apply_status(self, document: Document) -> Document:
        """Its status alone."""
        body = Body(document, _APPLY)
        return await self._write(ref(document), "PATCH", body, path="/status", params=_FORCED)

    async def create(self, document: Document, *, dry_run: bool = False) -> Document | None:
        """Make it; None where it is there already."""
        made = ref(document)
        try:
            there: Document = await self._ask(
                "POST", made.kind, made.namespace, Body(document), params=_dry(dry_run)
            )
        except Stale:
            return None
        if not dry_run:
            self._wrote(there)
        return there

    async def replace(self, document: Document, *, dry_run: bool = False) -> Document:
        """Raises Stale where it is not as it was read: by its resourceVersion."""
        return await self._write(ref(document), "PUT", Body(document), params=_dry(dry_run))

    async def patch(self, changed: Ref, operations: Sequence[Document]) -> Document | None:
        """By JSON patch (RFC 6902). Raises Stale where a `test` fails; None where it is gone."""
        try:
            return await self._write(changed, "PATCH", Body(operations, _JSON_PATCH))
        except _Missing:
            return None

    async def delete(self, gone: Ref) -> None:
        """Gone already is fine."""
        try:
            await self._ask("DELETE", gone.kind, gone.namespace, path=f"/{gone.name}")
        except _Missing:
            return

    async def _write(
        self,
        written: Ref,
        method: str,
        body: Body,
        *,
        path: str = "",
        params: Mapping[str, str] | None = None,
    ) -> Document:
        found: Document = await self._ask(
            method,
            written.kind,
            written.namespace,
            body,
            path=f"/{written.name}{path}",
            params=params,
        )
        if "dryRun" not in (params or {}):
            self._wrote(found)
        return found

    async def _ask(
        self,
        method: str,
        kind: Kind,
        namespace: str | None,
        body: Body | None = None,
        *,
        path: str = "",
        params: Mapping[str, str] | None = None,
    ) -> Any:
        return await self._answer(
            method, _path(kind, namespace) + path, params=params or {}, body=body
        )

    async def _answer(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Body | None = None,
    ) -> Any:
        try:
            answer = await self._server.ask(method, path, params=params or {}, body=body)
        except NoAnswer as why:
            raise Unanswered(f"the API server did not answer: {why}") from None
        if answer.code >= _BAD_REQUEST:
            raise _understood(answer)
        if answer.document is None:
            raise Unanswered("the API server did not answer: it is not JSON")
        return answer.document


class _Missing(Denied):
    pass


def _dry(run: bool) -> Mapping[str, str]:  # noqa: FBT001 - as the keyword that it comes from
    return {"dryRun": "All"} if run else {}


def _path(kind: Kind, namespace: str | None) -> str:
    """
    >>> _path(Kind("apps/v1", "Deployment", "deployments"), "acme")
    '/apis/apps/v1/namespaces/acme/deployments'
    """
    base = "apis" if "/" in kind.api_version else "api"
    within = f"/namespaces/{namespace}" if namespace else ""
    return f"/{base}/{kind.api_version}{within}/{kind.plural}"


def _understood(answer: Answer) -> Exception:
    status: Document = answer.document if isinstance(answer.document, Mapping) else {}
    said = str(status.get("message") or f"HTTP {answer.code}")
    known = {_NOT_FOUND: _Missing, _FORBIDDEN: Forbidden, _UNAUTHORIZED: Stranger}
    if answer.code in known:
        return known[answer.code](said)
    if answer.code == _CONFLICT or (answer.code == _UNPROCESSABLE and not _has_causes(status)):
        return Stale(said)
    if answer.code in range(_BAD_REQUEST, _TOO_MANY):
        return Denied(said)
    return Unanswered(f"the API server did not do it: {said}")


def _has_causes(status: Document) -> bool:
    """What is invalid is named; a JSON patch whose `test` fails is refused without a word."""
    return bool((status.get("details") or {}).get("causes"))
