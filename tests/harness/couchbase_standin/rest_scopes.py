"""
The management API about scopes and collections (`menelaus_web_collections.erl`).
"""

import re

from aiohttp import web

from couchbase_standin.access import Right
from couchbase_standin.rest_answers import Call, faulty, route
from couchbase_standin.state import DEFAULT, MOST_COLLECTIONS, Bucket

_NAME = re.compile(r"[A-Za-z0-9-][A-Za-z0-9_%-]{0,250}")
_MISNAMED = "Can only contain characters A-Z, a-z, 0-9 and the following symbols _ - %"


def _all(call: Call) -> web.Response:
    return web.json_response(call.bucket.as_manifest())


def _make_scope(call: Call) -> web.Response:
    name = call.form.get("name", "")
    if not _NAME.fullmatch(name):
        return faulty(_MISNAMED, field="name")
    if name in call.bucket.scopes:
        return faulty(f'Scope with name "{name}" already exists')
    call.bucket.add_scope(name)
    return _changed(call.bucket)


def _drop_scope(call: Call) -> web.Response:
    name = call.names["scope"]
    if name == DEFAULT:
        return faulty("Deleting _default scope is not allowed")
    if name not in call.bucket.scopes:
        return _no_scope(name)
    call.bucket.drop_scope(name)
    return _changed(call.bucket)


def _make_collection(call: Call) -> web.Response:
    scope, name = call.names["scope"], call.form.get("name", "")
    if scope not in call.bucket.scopes:
        return _no_scope(scope)
    if not _NAME.fullmatch(name):
        return faulty(_MISNAMED, field="name")
    if name in call.bucket.scopes[scope].collections:
        return faulty(f'Collection with name "{name}" in scope "{scope}" already exists')
    if call.state.collections >= MOST_COLLECTIONS:
        return faulty("Maximum number of collections has been reached")
    call.bucket.add_collection(scope, name)
    return _changed(call.bucket)


def _drop_collection(call: Call) -> web.Response:
    scope, name = call.names["scope"], call.names["collection"]
    if scope not in call.bucket.scopes:
        return _no_scope(scope)
    if name not in call.bucket.scopes[scope].collections:
        return faulty(f'Collection with name "{name}" in scope "{scope}" is not found', 404)
    call.bucket.drop_collection(scope, name)
    return _changed(call.bucket)


def _no_scope(name: str) -> web.Response:
    return faulty(f'Scope with name "{name}" is not found', 404)


def _changed(bucket: Bucket) -> web.Response:
    return web.json_response({"uid": f"{bucket.manifest:x}"})


_SCOPES = "/pools/default/buckets/{bucket}/scopes"
_SCOPE = _SCOPES + "/{scope}"
_READ = "cluster.collection[{bucket}:any:any].collections!read"
_WRITE = "cluster.collection[{bucket}:{scope}:all].collections!write"
_WRITE_ALL = "cluster.bucket[{bucket}].collections!write"
ROUTES = (
    route(f"GET {_SCOPES}", Right.COLLECTIONS, _READ, _all),
    route(
        f"POST {_SCOPES}",
        Right.COLLECTIONS,
        "cluster.bucket[{bucket}].collections!write",
        _make_scope,
    ),
    route(f"DELETE {_SCOPE}", Right.COLLECTIONS, _WRITE, _drop_scope),
    route(f"POST {_SCOPE}/collections", Right.COLLECTIONS, _WRITE, _make_collection),
    route(
        f"DELETE {_SCOPE}/collections/{{collection}}", Right.COLLECTIONS, _WRITE, _drop_collection
    ),
)
