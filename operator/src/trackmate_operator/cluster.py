"""
The API server, as far as the operator asks it: objects are JSON, and no more than JSON.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import httpx
from kr8s import APITimeoutError, ServerError
from kr8s.asyncio import api

from trackmate_operator.kinds import Kind, Ref, ref
from trackmate_operator.plan.objects import MANAGER
from trackmate_operator.tenant import Document

_ANSWERED_S = 15.0
_UNAUTHORIZED = 401
_FORBIDDEN = 403
_NOT_FOUND = 404
_CONFLICT = 409
_UNPROCESSABLE = 422

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


class _Body(NamedTuple):
    """What is sent, and as what."""

    content: object
    media: str = "application/json"


class Cluster:
    """Every method raises Unanswered and Denied."""

    def __init__(self, kubernetes: Any) -> None:
        self._api = kubernetes

    @classmethod
    async def reached(cls, context: str | None = None) -> "Cluster":
        """
        By the kubeconfig of the environment, in the context that is current there or is named, or
        by the pod's service account. Raises one of NOT_REACHED.
        """
        # kr8s would ask the current context, which there may not be, for a namespace
        found = api(context=context, namespace="default") if context else api()
        return cls(await found)

    @property
    def context(self) -> str:
        """The kubeconfig's; "" by a service account."""
        return str(self._api.auth.active_context)

    @property
    def url(self) -> str:
        """Where the API server is."""
        return str(self._api.auth.server)

    async def close(self) -> None:
        session = self._api._session  # noqa: SLF001 - kr8s closes it nowhere
        if session is not None:
            await session.aclose()

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
            found = await self._answer("GET", base=f"/apis/{kind.api_version}", version="", url="")
        except _Missing:
            return False
        return any(one["name"] == kind.plural for one in found["resources"])

    async def version(self) -> str:
        """Of the API server, as `v1.34.2`."""
        found = await self._answer("GET", base="/version", version="", url="")
        return str(found["gitVersion"])

    async def apply(self, document: Document, *, dry_run: bool = False) -> Document:
        """Make it, or take over the fields that are in it (server-side apply, forced)."""
        asked = {**_FORCED, **_dry(dry_run)}
        return await self._write(ref(document), "PATCH", _Body(document, _APPLY), params=asked)

    async def apply_status(self, document: Document) -> Document:
        """Its status alone."""
        body = _Body(document, _APPLY)
        return await self._write(ref(document), "PATCH", body, path="/status", params=_FORCED)

    async def create(self, document: Document, *, dry_run: bool = False) -> Document | None:
        """Make it; None where it is there already."""
        made = ref(document)
        try:
            there: Document = await self._ask(
                "POST", made.kind, made.namespace, _Body(document), params=_dry(dry_run)
            )
        except Stale:
            return None
        return there

    async def replace(self, document: Document, *, dry_run: bool = False) -> Document:
        """Raises Stale where it is not as it was read: by its resourceVersion."""
        return await self._write(ref(document), "PUT", _Body(document), params=_dry(dry_run))

    async def patch(self, changed: Ref, operations: Sequence[Document]) -> Document | None:
        """By JSON patch (RFC 6902). Raises Stale where a `test` fails; None where it is gone."""
        try:
            return await self._write(changed, "PATCH", _Body(operations, _JSON_PATCH))
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
        body: _Body,
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
        return found

    async def _ask(
        self,
        method: str,
        kind: Kind,
        namespace: str | None,
        body: _Body | None = None,
        *,
        path: str = "",
        params: Mapping[str, str] | None = None,
    ) -> Any:
        sent = {} if body is None else {"content": json.dumps(body.content)}
        return await self._answer(
            method,
            version=kind.api_version,
            namespace=namespace,
            url=f"{kind.plural}{path}",
            params=params or {},
            headers={"Content-Type": body.media if body else "application/json"},
            **sent,
        )

    async def _answer(self, method: str, **asked: Any) -> Any:
        try:
            async with self._api.call_api(method, timeout=_ANSWERED_S, **asked) as response:
                return response.json()
        except ServerError as error:
            raise _understood(error) from None
        except (APITimeoutError, httpx.HTTPError, OSError, ValueError) as error:
            what = str(error) or type(error).__name__
            raise Unanswered(f"the API server did not answer: {what}") from None


class _Missing(Denied):
    pass


def _dry(run: bool) -> Mapping[str, str]:  # noqa: FBT001 - as the keyword that it comes from
    return {"dryRun": "All"} if run else {}


def _understood(error: ServerError) -> Exception:
    response = error.response
    code = response.status_code if response is not None else 0
    said = str(error)
    known = {_NOT_FOUND: _Missing, _FORBIDDEN: Forbidden, _UNAUTHORIZED: Stranger}
    if code in known:
        return known[code](said)
    if code == _CONFLICT or (code == _UNPROCESSABLE and not _has_causes(error)):
        return Stale(said)
    if code in range(400, 429):
        return Denied(said)
    return Unanswered(f"the API server did not do it: {said}")


def _has_causes(error: ServerError) -> bool:
    """What is invalid is named; a JSON patch whose `test` fails is refused without a word."""
    status: Any = error.status  # the document, though kr8s declares a text
    return isinstance(status, Mapping) and bool((status.get("details") or {}).get("causes"))
