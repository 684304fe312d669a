"""
The management API about local users and their roles (`menelaus_web_rbac.erl`).
"""

import re

from aiohttp import web

from couchbase_standin.access import DEEPEST, GLOBAL, ROLES, Right
from couchbase_standin.rest_answers import Call, faulty, route
from couchbase_standin.state import Role, State, User

_ROLE = re.compile(r"(?P<name>\w+)(?:\[(?P<place>[^]]*)\])?")


def user_json(user: User) -> dict[str, object]:
    return {
        "id": user.id,
        "domain": "local",
        "roles": [_role_json(role) for role in user.roles],
        "groups": [],
        "external_groups": [],
        "name": user.name,
    }


def _role_json(role: Role) -> dict[str, object]:
    found: dict[str, object] = {"role": role.name}
    if role.name not in GLOBAL:
        found["bucket_name"] = role.bucket
        deepest = DEEPEST.get(role.name, 3)
        if deepest > 1:
            found["scope_name"] = role.scope or "*"
        if deepest > 2:
            found["collection_name"] = role.collection or "*"
    return found | {"origins": [{"type": "user"}]}


def _list(call: Call) -> web.Response:
    return web.json_response([user_json(user) for user in call.state.users.values()])


def _one(call: Call) -> web.Response:
    user = call.state.users.get(call.names["user"])
    return _unknown() if user is None else web.json_response(user_json(user))


def _put(call: Call) -> web.Response:
    name = call.names["user"]
    before = call.state.users.get(name)
    password = call.form.get("password") or (before.password if before else "")
    if not password:
        return faulty("Password is required for new user.", field="password")
    texts = [text for text in re.split(r",(?![^\[]*\])", call.form.get("roles", "")) if text]
    roles = [_role(text, call.state) for text in texts]
    unknown = ",".join(text for text, role in zip(texts, roles, strict=True) if role is None)
    if unknown:
        return faulty(
            "Cannot assign roles to user because the following roles are unknown, malformed or "
            f"role parameters are undefined: [{unknown}]",
            field="roles",
        )
    display = call.form.get("name", before.name if before else "")
    call.state.users[name] = User(name, password, tuple(role for role in roles if role), display)
    return web.json_response("")


def _drop(call: Call) -> web.Response:
    if call.state.users.pop(call.names["user"], None) is None:
        return _unknown()
    return web.json_response("")


def _unknown() -> web.Response:
    return web.json_response("Unknown user.", status=404)


def _role(text: str, state: State) -> Role | None:
    """None where it is unknown, malformed, or for a place that is not there."""
    found = _ROLE.fullmatch(text)
    if found is None or found["name"] not in ROLES:
        return None
    name, place = found["name"], found["place"]
    if name in GLOBAL:
        return Role(name) if place is None else None
    parts = [part for part in (place or "").split(":") if part != "*"] or ["*"]
    if not place or len(parts) > DEEPEST.get(name, 3) or not _there(parts, state):
        return None
    return Role(name, *parts)


def _there(parts: list[str], state: State) -> bool:
    if parts == ["*"]:
        return True
    bucket = state.buckets.get(parts[0])
    if bucket is None or len(parts) == 1:
        return bucket is not None
    scope = bucket.scopes.get(parts[1])
    return scope is not None and all(name in scope.collections for name in parts[2:])


_USERS = "/settings/rbac/users"
_READ, _WRITE = "cluster.admin.security!read", "cluster.admin.security!write"
ROUTES = (
    route(f"GET {_USERS}", Right.USERS, _READ, _list),
    route(f"GET {_USERS}/local", Right.USERS, _READ, _list),
    route(f"GET {_USERS}/local/{{user}}", Right.USERS, _READ, _one),
    route(f"PUT {_USERS}/local/{{user}}", Right.USERS, _WRITE, _put),
    route(f"DELETE {_USERS}/local/{{user}}", Right.USERS, _WRITE, _drop),
)
