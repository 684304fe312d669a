"""
What the management API's answers are made of.
"""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from aiohttp import web

from couchbase_standin.access import Right
from couchbase_standin.state import Bucket, State, User
from couchbase_standin.topology import Ports


class Call(NamedTuple):
    """A request: who asks, the names in its path, and its form."""

    state: State
    ports: Ports
    user: User
    names: Mapping[str, str]
    form: Mapping[str, str]

    @property
    def bucket(self) -> Bucket:
        """The one in the path, which is there: else the answer was 404 before."""
        return self.state.buckets[self.names["bucket"]]


class Route(NamedTuple):
    """What answers requests of a method and a path, and what their user needs for it."""

    method: str
    path: re.Pattern[str]
    right: Right | None
    """In the bucket and scope that the path names; None is any user's."""
    permission: str
    """As the answer 403 calls it."""
    answer: Callable[[Call], web.Response]


def route(
    line: str, right: Right | None, permission: str, answer: Callable[[Call], web.Response]
) -> Route:
    """From a line like `GET /pools/default/buckets/{bucket}`."""
    method, _, path = line.partition(" ")
    pattern = re.compile(re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", path))
    return Route(method, pattern, right, permission, answer)


def missing() -> web.Response:
    return web.Response(text="Requested resource not found.\r\n", status=404)


def faulty(words: str, status: int = 400, *, field: str = "_") -> web.Response:
    return web.json_response({"errors": {field: words}}, status=status)


def forbidden(permission: str) -> web.Response:
    said = "Forbidden. User needs the following permissions"
    return web.json_response({"message": said, "permissions": [permission]}, status=403)
