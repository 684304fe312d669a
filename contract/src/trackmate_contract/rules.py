"""
What relates one field to another, which no structural schema can say.

Rules look at the raw document, because a fault of the schema must not hide a fault of the sense;
where a value has the wrong type they say nothing, as the schema has said it.
"""

from collections.abc import Callable, Iterable, Iterator

from . import names
from .affiliate import IngestAutoscaling, Limits
from .faults import Fault, Place
from .quantity import octets, quoted

PLATFORM = "trackmate"
"""No affiliate's name: the platform's own topics, as `trackmate.registry`, begin with it."""

STORE = "store"
"""No pipeline's name: the built-in one has it."""

_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_SINKS = ("http", "postgres", "kafka", "files", "couchbase", "stdout")
_OUR_HEADERS = (
    {"connection", "content-length", "host", "transfer-encoding"}
    | {"webhook-id", "webhook-timestamp", "webhook-signature"}  # Standard Webhooks
)


def affiliate(document: Place) -> Iterator[Fault]:
    """What does not fit together in an Affiliate."""
    name, spec = document.at("metadata").at("name"), document.at("spec")
    if name.value == PLATFORM:
        yield name.fault(f"{PLATFORM!r} is the platform's own name; choose another")
    streams = spec.at("streams").each()
    yield from _repeated(stream.at("name") for stream in streams)
    for stream in streams:
        yield from _repeated(stream.at("partitionBy").each())
    yield from _ingest(spec.at("ingest"))
    yield from _users(spec.at("store").at("users").each(), affiliate_name=name.value)
    yield from _repeated(
        (access.at("role") for access in spec.at("access").each()),
        cure="put its subjects under the first",
    )
    for access in spec.at("access").each():
        for subject in access.at("subjects").each():
            yield from _subject(subject)


def pipeline(document: Place) -> Iterator[Fault]:
    """What does not fit together in a Pipeline."""
    name, spec = document.at("metadata").at("name"), document.at("spec")
    if name.value == STORE:
        yield name.fault(f"{STORE!r} is the built-in pipeline; choose another name")
    yield from _one_sink(spec.at("sink"))
    yield from _headers(spec.at("sink").at("http").at("headers").each())
    if _both(spec, "replicas", "autoscaling"):
        yield spec.fault("'replicas' and 'autoscaling' exclude each other; remove one of them")
    yield from _ordered(spec.at("autoscaling"), least=1)


def _ingest(ingest: Place) -> Iterator[Fault]:
    keys = ingest.at("keys").each()
    yield from _repeated(ingest.at("hosts").each())
    yield from _repeated(key.at("name") for key in keys)
    for key in keys:
        yield from _origins(key.at("origins"), use=key.at("use").value)
    yield from _limits(ingest.at("limits"))
    autoscaling = IngestAutoscaling()
    yield from _ordered(
        ingest.at("autoscaling"), least=autoscaling.min_replicas, most=autoscaling.max_replicas
    )


def _origins(origins: Place, use: object) -> Iterator[Fault]:
    if use == "Server" and origins.each():
        yield origins.fault(
            f"{quoted(origins.value)} cannot hold for a Server key, whose requests have no "
            "origin; remove it, or write use: Browser"
        )
    yield from _repeated(origins.each())
    for origin in origins.each():
        scheme, _, host = str(origin.value).partition("://")
        port = _DEFAULT_PORTS.get(scheme, "/")
        if host.endswith(port):
            yield origin.fault(
                f"{quoted(origin.value)} has the scheme's own port, which browsers leave out; "
                f"write {str(origin.value).removesuffix(port)!r}"
            )


def _limits(limits: Place) -> Iterator[Fault]:
    event = _bytes(limits.at("eventBytes"), default=Limits().event_bytes)
    body = _bytes(limits.at("bodyBytes"), default=Limits().body_bytes)
    if event is not None and body is not None and event > body:
        yield limits.fault(
            f"eventBytes is {event} and bodyBytes {body}, but an event arrives in a body; "
            "lower eventBytes or raise bodyBytes"
        )


def _users(users: list[Place], affiliate_name: object) -> Iterator[Fault]:
    secrets = [user.at("secretName") for user in users]
    yield from _repeated(user.at("name") for user in users)
    yield from _repeated(secrets)
    for secret in secrets:
        if secret.value == names.keys_secret(str(affiliate_name)):
            yield secret.fault(
                f"{secret.value!r} is the Secret of the write keys; choose another name"
            )


def _subject(subject: Place) -> Iterator[Fault]:
    account = subject.at("kind").value == "ServiceAccount"
    namespace = subject.at("namespace")
    if account and namespace.value is None:
        yield namespace.fault("'namespace' is missing; a ServiceAccount needs the one it is in")
    if not account and namespace.value is not None:
        yield namespace.fault(
            f"{quoted(namespace.value)} says nothing here, as only a ServiceAccount is in a "
            "namespace; remove it"
        )


def _one_sink(sink: Place) -> Iterator[Fault]:
    there = [name for name in _SINKS if sink.at(name).value is not None]
    if len(there) > 1:
        yield sink.fault(
            f"{' and '.join(there)} are several sinks; keep one, or make a Pipeline each"
        )
    if sink.value == {}:
        yield sink.fault(f"there is no sink; add one of {', '.join(_SINKS)}, like stdout: {{}}")


def _headers(headers: list[Place]) -> Iterator[Fault]:
    yield from _repeated((header.at("name") for header in headers), alike=str.lower)
    for header in headers:
        name = header.at("name")
        if str(name.value).lower() in _OUR_HEADERS:
            yield name.fault(f"{name.value!r} is set by Trackmate itself; remove it")
        if _both(header, "value", "valueFrom"):
            yield header.fault("'value' and 'valueFrom' exclude each other; remove one of them")
        if name.value is not None and not _either(header, "value", "valueFrom"):
            yield header.fault("there is no value; add value or valueFrom")


def _ordered(autoscaling: Place, least: int, most: int | None = None) -> Iterator[Fault]:
    """A fault where the least number of replicas is above the most; the defaults are given."""
    low, high = autoscaling.at("minReplicas").value, autoscaling.at("maxReplicas").value
    low = least if low is None else low
    high = most if high is None else high
    if isinstance(low, int) and isinstance(high, int) and low > high:
        yield autoscaling.fault(
            f"minReplicas is {low} and maxReplicas {high}; lower minReplicas or raise maxReplicas"
        )


def _repeated(
    places: Iterable[Place],
    alike: Callable[[str], str] = lambda text: text,
    cure: str = "remove it or rename it",
) -> Iterator[Fault]:
    seen: set[str] = set()
    for place in places:
        if not isinstance(place.value, str):
            continue
        if alike(place.value) in seen:
            yield place.fault(f"{quoted(place.value)} is there twice; {cure}")
        seen.add(alike(place.value))


def _both(parent: Place, one: str, other: str) -> bool:
    return parent.at(one).value is not None and parent.at(other).value is not None


def _either(parent: Place, one: str, other: str) -> bool:
    return parent.at(one).value is not None or parent.at(other).value is not None


def _bytes(place: Place, default: int) -> int | None:
    """A size, or None where the schema has said that it is none."""
    if place.value is None:
        return default
    try:
        return octets(place.value)
    except ValueError:
        return None
