"""
The management API: who asks, what that needs, and the faults of the test. Statuses and bodies are
those of ns_server's source (`menelaus_web*.erl`, 8.x).
"""

import asyncio
from base64 import b64decode
from binascii import Error

from aiohttp import web

from couchbase_standin import rest_buckets, rest_cluster, rest_scopes, rest_users
from couchbase_standin.access import Right, may, may_somewhere
from couchbase_standin.faults import Fault, Faults
from couchbase_standin.rest_answers import Call, Route, forbidden, missing
from couchbase_standin.state import State, User
from couchbase_standin.topology import Ports

_ROUTES = (*rest_cluster.ROUTES, *rest_buckets.ROUTES, *rest_scopes.ROUTES, *rest_users.ROUTES)
_REFUSED = {"WWW-Authenticate": 'Basic realm="Couchbase Server Admin / REST"'}
_STRANGE = {
    "html": ("<html><body><h1>502 Bad Gateway</h1></body></html>", 200, "text/html"),
    "truncated": ('{"name":"acme","uuid":"5f', 200, "application/json"),
    "wrong type": ('["not", 7, null]', 200, "application/json"),
    "error": ('["Unexpected server error, request logged."]', 500, "application/json"),
}


class Management:
    """The API of the one node."""

    def __init__(self, state: State, ports: Ports, faults: Faults) -> None:
        self._state = state
        self._ports = ports
        self._faults = faults

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        fault = self._faults.of_path(request.path)
        if fault is None:
            return await self._answer(request)
        if fault.applied:
            await self._answer(request)
        return await self._fail(request, fault)

    async def _fail(self, request: web.BaseRequest, fault: Fault) -> web.StreamResponse:
        if fault.kind == "silent":
            await asyncio.Event().wait()
        if fault.kind == "slow":
            await asyncio.sleep(fault.seconds)
            return await self._answer(request)
        if fault.kind == "drop":
            assert request.transport
            request.transport.abort()
        text, status, kind = _STRANGE.get(fault.kind, _STRANGE["error"])
        return web.Response(text=text, status=status, content_type=kind)

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        user = self._user_of(request.headers.get("Authorization", ""))
        if user is None:
            return web.Response(status=401, headers=_REFUSED)
        form = {name: str(value) for name, value in (await request.post()).items()}
        for route in _ROUTES:
            found = route.path.fullmatch(request.path)
            if found and route.method == request.method:
                call = Call(self._state, self._ports, user, found.groupdict(), form)
                return _routed(route, call)
        return missing()

    def _user_of(self, authorization: str) -> User | None:
        scheme, _, encoded = authorization.partition(" ")
        try:
            name, _, password = b64decode(encoded).decode().partition(":")
        except (Error, UnicodeDecodeError):
            return None
        user = self._state.users.get(name)
        known = user is not None and user.password == password
        return user if known and scheme.lower() == "basic" else None


def _routed(route: Route, call: Call) -> web.Response:
    if route.right is not None and not _may(route.right, call):
        return forbidden(route.permission.format(**call.names))
    if call.names.get("bucket", "") not in ("", *call.state.buckets):
        return missing()
    return route.answer(call)


def _may(right: Right, call: Call) -> bool:
    where = [call.names[name] for name in ("bucket", "scope") if name in call.names]
    if right is Right.META:  # a role in a part of a bucket shows the settings of the whole
        return may_somewhere(call.user, *where)
    return may(call.user, right, *where)
