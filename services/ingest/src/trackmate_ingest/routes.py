"""
The routes that take events, as data: the hot path dispatches on this table and the OpenAPI document
is made from it, so that neither can say what the other does not do.
"""

from dataclasses import dataclass
from enum import Enum

SEGMENT_CALLS = ("track", "identify", "page", "screen", "group", "alias")


class Shape(Enum):
    """What a body holds."""

    EVENTS = "each JSON text of the body is an event"
    CALL = "the body is one event in Segment's shape"
    BATCH = "each element of the body's `batch` is an event"
    RAW = "the whole body is one event, of any content type"


@dataclass(frozen=True, slots=True)
class Route:
    """One path that takes events."""

    path: str
    shape: Shape
    type: str | None = None
    """The Segment call, for the record's `tm-type`."""


RAW_PREFIX = "/v1/raw/"

ROUTES: tuple[Route, ...] = (
    Route("/v1/events", Shape.EVENTS),
    *(Route(f"/v1/{call}", Shape.CALL, call) for call in SEGMENT_CALLS),
    *(Route(f"/v1/{call[0]}", Shape.CALL, call) for call in SEGMENT_CALLS),
    Route("/v1/batch", Shape.BATCH, "batch"),
    Route("/v1/b", Shape.BATCH, "batch"),
    Route(RAW_PREFIX + "{stream}", Shape.RAW),
)

BY_PATH = {route.path: route for route in ROUTES}
RAW = BY_PATH[RAW_PREFIX + "{stream}"]


def find(path: str) -> Route | None:
    """
    >>> find("/v1/t").type, find("/v1/raw/images") is RAW
    ('track', True)
    >>> find("/v1/raw/"), find("/v1/raw/a/b")
    (None, None)
    """
    route = BY_PATH.get(path)
    if route is not None:
        return None if route is RAW else route
    prefix, _, stream = path.rpartition("/")
    return RAW if stream and prefix + "/" == RAW_PREFIX else None
