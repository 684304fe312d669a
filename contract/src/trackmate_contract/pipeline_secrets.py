"""
The Secrets that a pipeline names, each with the path where it does, and those it may not name.
"""

from collections.abc import Iterator

from .faults import Fault
from .names import is_own_secret
from .pipeline import Http, PipelineSpec
from .specs import SecretKeyRef


def secret_refs(spec: PipelineSpec) -> Iterator[tuple[str, SecretKeyRef]]:
    """Those of which it names one key."""
    sink = spec.sink
    if sink.http is not None:
        yield from _http_refs(sink.http)
    if sink.postgres is not None:
        yield "spec.sink.postgres.connectionSecretRef", sink.postgres.connection_secret_ref
    if sink.postgres is not None and sink.postgres.tls is not None:
        yield "spec.sink.postgres.tls.caSecretRef", sink.postgres.tls.ca_secret_ref


def secret_names(spec: PipelineSpec) -> Iterator[tuple[str, str]]:
    """All of them, by name."""
    yield from ((path, found.name) for path, found in secret_refs(spec))
    kafka = spec.sink.kafka
    if kafka is not None and kafka.credentials_secret_ref is not None:
        yield "spec.sink.kafka.credentialsSecretRef.name", kafka.credentials_secret_ref.name


def own_secret_faults(affiliate: str, spec: PipelineSpec) -> Iterator[Fault]:
    """
    A fault for each that is Trackmate's own. Whoever may make a Pipeline may not read Secrets, and
    a pipeline would send to any address what it finds there.
    """
    for path, name in secret_names(spec):
        if is_own_secret(affiliate, name):
            yield Fault(
                path,
                f"Secret {name!r} is Trackmate's own; name one that holds what the backend knows",
            )


def _http_refs(http: Http) -> Iterator[tuple[str, SecretKeyRef]]:
    for index, header in enumerate(http.headers):
        if header.value_from is not None:
            path = f"spec.sink.http.headers[{index}].valueFrom.secretKeyRef"
            yield path, header.value_from.secret_key_ref
    if http.signing is not None:
        yield "spec.sink.http.signing.secretRef", http.signing.secret_ref
    if http.tls is not None:
        yield "spec.sink.http.tls.caSecretRef", http.tls.ca_secret_ref
