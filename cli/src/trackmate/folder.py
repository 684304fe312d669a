"""
The folder that `trackmate dev` watches: its YAML documents, parsed, and all that is wrong with them
by file, line and path. Pure but for reading the files.
"""

from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import yaml

from trackmate.misfit import Misfit
from trackmate_consume.assembly import NO_COUCHBASE
from trackmate_consume.sinks import kafka_login
from trackmate_contract import pipeline_secrets
from trackmate_contract.affiliate import Affiliate
from trackmate_contract.faults import Fault, Faulty, Place
from trackmate_contract.manifest import parse
from trackmate_contract.names import namespace
from trackmate_contract.pipeline import Kafka, Pipeline
from trackmate_contract.specs import API_VERSION, SecretKeyRef
from trackmate_ingest.keys import is_loopback

_GROUP = "trackmate.io/"
_MOST_PARTS = 20_000  # of one document
_MOST_BYTES = 1 << 20  # of one file


@dataclass
class Folder:
    """What the folder says now."""

    affiliates: dict[str, "Declared"] = field(default_factory=dict)
    pipelines: dict[tuple[str, str], "DeclaredPipeline"] = field(default_factory=dict)
    """By namespace and name."""
    refused: list["DeclaredPipeline"] = field(default_factory=list)
    """Pipelines with a fault, for those who look at expressions: there may be more."""
    namespaces: dict[str, "Document"] = field(default_factory=dict)
    secrets: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict, repr=False)
    """Values by namespace and name, then by key."""
    owners: dict[str, "Owner"] = field(default_factory=dict)
    """By namespace: who may have pipelines."""
    faulty: dict[str, str] = field(default_factory=dict)
    """By the namespace that they would have: files of affiliates with a fault."""
    running: "Running" = field(default_factory=dict)
    misfits: list[Misfit] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    @property
    def broken(self) -> set[str]:
        """The files that cannot be trusted to say what they no longer hold."""
        return {misfit.file for misfit in self.misfits}


class Owner(NamedTuple):
    """The affiliate of a namespace, as far as its pipelines need it."""

    name: str
    """Empty where nobody knows it."""
    streams: tuple[str, ...]


class Declared(NamedTuple):
    affiliate: Affiliate
    file: str
    lines: "Lines"
    content: Mapping[str, Any]
    """As it is written."""

    def misfit(self, path: str, message: str) -> Misfit:
        return Misfit(self.file, self.lines.find(path), path, message)


class DeclaredPipeline(NamedTuple):
    pipeline: Pipeline
    file: str
    lines: "Lines"
    content: Mapping[str, Any]
    """As it is written."""

    def misfit(self, path: str, message: str) -> Misfit:
        return Misfit(self.file, self.lines.find(path), path, message)


Running = Mapping[tuple[str, ...], str]
"""Files of what runs: of affiliates by name, of pipelines by namespace and name."""

Either = TypeVar("Either", Declared, DeclaredPipeline)


class Document(NamedTuple):
    """One YAML document and the lines of its parts."""

    file: str
    lines: "Lines"
    content: Mapping[str, Any]


class Lines:
    """Where each part of a document stands, by path as in `spec.streams[0].name`."""

    def __init__(self, node: yaml.Node) -> None:
        """Raises YAMLError where aliases make more of a document than anybody writes."""
        self._lines: dict[str, int] = {}
        self._add("", node)

    def find(self, path: str) -> int | None:
        """The line of the path, or of the nearest part around it that is there."""
        while path not in self._lines and path:
            cut = max(path.rfind("."), path.rfind("["))
            path = path[:cut] if cut > 0 else ""
        return self._lines.get(path)

    def _add(self, path: str, node: yaml.Node) -> None:
        self._lines.setdefault(path, node.start_mark.line + 1)
        if len(self._lines) > _MOST_PARTS:
            raise yaml.YAMLError(f"a document of more than {_MOST_PARTS} parts; write less")
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                name = f"{path}.{key.value}".lstrip(".")
                self._lines[name] = key.start_mark.line + 1
                self._add(name, value)
        elif isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self._add(f"{path}[{index}]", item)


class _Loader(yaml.SafeLoader):
    """YAML as Kubernetes reads it: times stay text, and a key given twice is a fault."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - the signature of PyYAML
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} is given twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_folder(directory: Path, *, running: Running | None = None) -> Folder:
    """
    Read every YAML file of the folder and below; hidden ones are passed over. Of two that want one
    name, one host or one namespace, the one that is `running` keeps it.
    """
    folder = Folder(running=running or {})
    for file, name in _yaml_files(directory):
        _read_file(file, name, folder)
    _check_hosts(folder)
    _check_secrets(folder)
    _check_namespaces(folder)
    _check_pipelines(folder, secrets=True)
    return folder


def read_file(path: Path, owners: Mapping[str, Owner]) -> Folder:
    """Read one file, to be added to what runs: its Secrets may be elsewhere."""
    folder = Folder(owners=dict(owners))
    _read_file(path, path.name, folder)
    _check_hosts(folder)
    _check_namespaces(folder, owners)
    _check_pipelines(folder)
    return folder


def read_for_cluster(path: Path, owners: Mapping[str, Owner]) -> Folder:
    """
    Read a file, or a folder with all below it, to be added to what a cluster has: Secrets may be
    there, and so are sinks that the embedded mode does not have.
    """
    folder = Folder(owners=dict(owners))
    for file, name in _yaml_files(path) if path.is_dir() else [(path, path.name)]:
        _read_file(file, name, folder)
    _check_hosts(folder)
    _check_namespaces(folder)  # whose one is on the cluster, its own label says
    _check_pipelines(folder, embedded=False)
    return folder


def _yaml_files(directory: Path) -> Iterator[tuple[Path, str]]:
    for path in sorted(directory.rglob("*.y*ml")):
        name = path.relative_to(directory)
        if path.suffix in {".yaml", ".yml"} and not any(p.startswith(".") for p in name.parts):
            yield path, str(name)


def _read_file(path: Path, name: str, folder: Folder) -> None:
    try:
        if not path.is_file() or path.stat().st_size > _MOST_BYTES:
            what = f"is no file of at most {_MOST_BYTES} bytes; manifests are small"
            folder.misfits.append(Misfit(name, None, "", what))
            return
        text = path.read_text("utf-8")
    except FileNotFoundError:  # removed since it was listed
        return
    except (OSError, UnicodeDecodeError) as error:
        folder.misfits.append(Misfit(name, None, "", f"cannot be read: {error}"))
        return
    try:
        for document in _documents(name, text):
            _take(document, folder)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        what = f"is not YAML: {error.problem or error.context}"
        folder.misfits.append(Misfit(name, line, "", what))
    except RecursionError:
        what = "is nested too deep, or holds itself; write it out"
        folder.misfits.append(Misfit(name, None, "", what))
    except (yaml.YAMLError, ValueError, TypeError, AttributeError) as error:  # of odd YAML tags
        folder.misfits.append(Misfit(name, None, "", f"is not YAML: {error}"))


def _documents(name: str, text: str) -> Iterator[Document]:
    loader = _Loader(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            lines = Lines(node) if node else None  # first: it bounds what there is to make
            content = loader.construct_document(node) if node else None
            if lines and content is not None:
                yield Document(name, lines, content)
    finally:
        loader.dispose()


def _take(document: Document, folder: Folder) -> None:
    content = document.content
    if not isinstance(content, Mapping):
        line = document.lines.find("")
        message = "is not a manifest; begin with apiVersion, kind and metadata"
        folder.misfits.append(Misfit(document.file, line, "", message))
        return
    kind, group = str(content.get("kind")), str(content.get("apiVersion"))
    if kind == "Secret" and group == "v1":
        _take_secret(document, folder)
    elif kind in {"Affiliate", "Pipeline"} or group.startswith(_GROUP) or "kind" not in content:
        _take_resource(document, folder)
    elif kind == "Namespace" and group == "v1":  # what a cluster needs, and `dev` does not
        _take_namespace(document, folder)
    else:
        folder.notices.append(f"{document.file}: kind {kind!r} is not read here, and left alone")


def _take_namespace(document: Document, folder: Folder) -> None:
    metadata = document.content.get("metadata")
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    if isinstance(name, str):
        folder.namespaces[name] = document
    else:
        fault = Fault("metadata.name", "is missing; write the namespace's name")
        folder.misfits.append(_misfit(document, fault))


def _take_resource(document: Document, folder: Folder) -> None:
    try:
        resource = parse(document.content)
    except Faulty as faulty:
        folder.misfits += [_misfit(document, fault) for fault in faulty.faults]
        folder.refused += _expressions(document, faulty.faults)
        folder.faulty |= _affiliates_namespace(document)
        return
    if isinstance(resource, Pipeline):
        _take_pipeline(DeclaredPipeline(resource, *document), folder)
        return
    declared = Declared(resource, *document)
    first = folder.affiliates.get(resource.name)
    folder.affiliates[resource.name] = _one_of(folder, (resource.name,), first, declared)


def _affiliates_namespace(document: Document) -> dict[str, str]:
    """The namespace that a faulty affiliate would have, as far as it says one, and its file."""
    place = Place("", document.content)
    name, written = place.at("metadata").at("name").value, place.at("spec").at("namespace").value
    if document.content.get("kind") != "Affiliate" or not isinstance(name, str):
        return {}
    return {written if isinstance(written, str) else namespace(name): document.file}


def _expressions(document: Document, faults: Iterable[Fault]) -> Iterator[DeclaredPipeline]:
    """A faulty pipeline with nothing but those of its expressions that are no fault yet."""
    told = {".".join(fault.path.split(".")[:2]) for fault in faults}
    spec = Place("", document.content).at("spec")
    places = [spec.at(name) for name in ("filter", "transform")]
    taken = {place.path: place.value for place in places if place.path not in told}
    bare = {
        "apiVersion": API_VERSION,
        "kind": "Pipeline",
        "metadata": {"name": "bare", "namespace": "bare"},
        "spec": {
            "stream": "events",
            "filter": taken.get("spec.filter"),
            "transform": taken.get("spec.transform"),
            "sink": {"stdout": {}},
        },
    }
    with suppress(Faulty):
        pipeline = parse(bare)
        if document.content.get("kind") == "Pipeline" and isinstance(pipeline, Pipeline):
            yield DeclaredPipeline(pipeline, *document)


def _take_pipeline(declared: DeclaredPipeline, folder: Folder) -> None:
    where = declared.pipeline.namespace, declared.pipeline.name
    folder.pipelines[where] = _one_of(folder, where, folder.pipelines.get(where), declared)


def _one_of(folder: Folder, name: tuple[str, ...], first: Either | None, second: Either) -> Either:
    """Of two of one name the one that runs, else the first; the other is a misfit."""
    if first is None:
        return second
    stays, goes = first, second
    if folder.running.get(name) == second.file != first.file:
        stays, goes = second, first
    kind = "affiliate" if isinstance(second, Declared) else "pipeline"
    message = f"the {kind} {name[-1]!r} is in {stays.file} already; remove one of them"
    path = "metadata.name"
    folder.misfits.append(Misfit(goes.file, goes.lines.find(path), path, message))
    return stays


def _misfit(document: Document, fault: Fault) -> Misfit:
    return Misfit(document.file, document.lines.find(fault.path), fault.path, fault.message)


def _take_secret(document: Document, folder: Folder) -> None:
    parts = {part: document.content.get(part) or {} for part in ("metadata", "stringData", "data")}
    for part, held in parts.items():
        if not isinstance(held, Mapping):
            what = repr(held) if part == "metadata" else "what is there"  # which may be secret
            fault = Fault(part, f"{what} is no mapping; write {part}: and below it name: value")
            folder.misfits.append(_misfit(document, fault))
            return
    metadata = parts["metadata"]
    values = {str(name): str(value) for name, value in parts["stringData"].items()}
    for name, value in parts["data"].items():
        try:
            values[name] = b64decode(str(value), validate=True).decode()
        except ValueError:
            fault = Fault(f"data.{name}", "is not base64 of UTF-8 text; or use stringData")
            folder.misfits.append(_misfit(document, fault))
    where = str(metadata.get("namespace", "default")), str(metadata.get("name", ""))
    folder.secrets[where] = values


def _check_hosts(folder: Folder) -> None:
    """Two affiliates cannot have one host: the one that came later is refused."""
    owners: dict[str, Declared] = {}
    for declared in _in_turn(folder):
        for index, host in enumerate(declared.affiliate.spec.ingest.hosts):
            if is_loopback(host):
                message = f"{host!r} means this machine, for every affiliate; name another host"
                _refuse(folder, declared, Fault(f"spec.ingest.hosts[{index}]", message))
                continue
            first = owners.setdefault(host, declared)
            if first.affiliate.name == declared.affiliate.name:
                continue
            message = (
                f"the host {host!r} belongs to the affiliate {first.affiliate.name!r} "
                f"({first.file}) already; give each affiliate hosts of its own"
            )
            _refuse(folder, declared, Fault(f"spec.ingest.hosts[{index}]", message))


def _check_secrets(folder: Folder) -> None:
    for declared in list(folder.affiliates.values()):
        for index, key in enumerate(declared.affiliate.spec.ingest.keys):
            if key.value_from is None or secret_value(folder, declared.affiliate, key.name):
                continue
            ref = key.value_from.secret_key_ref
            path = f"spec.ingest.keys[{index}].valueFrom.secretKeyRef"
            _refuse(folder, declared, Fault(path, _no_secret(ref, declared.affiliate.namespace)))


def secret_value(folder: Folder, affiliate: Affiliate, key_name: str) -> str | None:
    """The value that a Secret of the folder gives to a write key."""
    for key in affiliate.spec.ingest.keys:
        if key.name == key_name and key.value_from is not None:
            ref = key.value_from.secret_key_ref
            return folder.secrets.get((affiliate.namespace, ref.name), {}).get(ref.key)
    return None


def _check_namespaces(folder: Folder, there: Mapping[str, Owner] | None = None) -> None:
    """
    Two affiliates cannot have one namespace, since its pipelines would be of both: the one that
    came later is refused, and so is who wants that of an affiliate elsewhere.
    """
    owners = {
        namespace: owner
        for namespace, owner in (there or {}).items()
        if owner.name and owner.name not in folder.affiliates  # who is here may have moved
    }
    for declared in _in_turn(folder):
        affiliate = declared.affiliate
        streams = tuple(stream.name for stream in affiliate.spec.streams)
        owner = Owner(affiliate.name, streams)
        first = owners.setdefault(affiliate.namespace, owner)
        if first.name == affiliate.name:
            folder.owners[affiliate.namespace] = owner
        else:
            _refuse(folder, declared, namespace_conflict(affiliate.namespace, first.name))


def namespace_conflict(namespace: str, owner: str) -> Fault:
    """What is said to who wants the namespace of another affiliate."""
    message = (
        f"the namespace {namespace!r} belongs to the affiliate {owner!r} already; give each "
        "affiliate a namespace of its own"
    )
    return Fault("spec.namespace", message)


def _in_turn(folder: Folder) -> list[Declared]:
    """The affiliates, first those that run."""
    return sorted(
        folder.affiliates.values(), key=lambda d: (d.affiliate.name,) not in folder.running
    )


def _check_pipelines(folder: Folder, *, secrets: bool = False, embedded: bool = True) -> None:
    for where, declared in list(folder.pipelines.items()):
        faults = [*_pipeline_faults(declared.pipeline, folder)]
        if embedded and declared.pipeline.spec.sink.couchbase is not None:
            faults.append(Fault("spec.sink.couchbase", NO_COUCHBASE))
        if secrets:
            faults += _secret_faults(declared.pipeline, folder)
        if faults:
            folder.misfits += [declared.misfit(fault.path, fault.message) for fault in faults]
            folder.refused.append(folder.pipelines.pop(where))


def _pipeline_faults(pipeline: Pipeline, folder: Folder) -> Iterator[Fault]:
    owner = folder.owners.get(pipeline.namespace)
    if owner is None and pipeline.namespace in folder.faulty:
        file = folder.faulty[pipeline.namespace]
        yield Fault("metadata.namespace", f"its affiliate in {file} is faulty; mend that first")
    elif owner is None:
        known = ", ".join(sorted(folder.owners)) or "none"
        what = f"no affiliate here has the namespace {pipeline.namespace!r}; there is"
        yield Fault("metadata.namespace", f"{what}: {known}")
    elif pipeline.spec.stream not in owner.streams:
        what = f"the affiliate {owner.name!r} has no stream {pipeline.spec.stream!r}; it has"
        yield Fault("spec.stream", f"{what}: {', '.join(owner.streams)}")
    if owner is not None:
        yield from pipeline_secrets.own_secret_faults(owner.name, pipeline.spec)


def _secret_faults(pipeline: Pipeline, folder: Folder) -> Iterator[Fault]:
    for path, ref in secret_refs(pipeline):
        if ref.key not in folder.secrets.get((pipeline.namespace, ref.name), {}):
            yield Fault(path, _no_secret(ref, pipeline.namespace))


def secret_refs(pipeline: Pipeline) -> Iterator[tuple[str, SecretKeyRef]]:
    """Every Secret that a pipeline must have, with the path where it names it."""
    yield from pipeline_secrets.secret_refs(pipeline.spec)
    yield from _kafka_refs(pipeline.spec.sink.kafka, kafka_login.NEEDED)


def optional_secret_refs(pipeline: Pipeline) -> Iterator[tuple[str, SecretKeyRef]]:
    """What else it would take from Secrets."""
    yield from _kafka_refs(pipeline.spec.sink.kafka, kafka_login.OPTIONAL)


def _kafka_refs(kafka: Kafka | None, keys: Iterable[str]) -> Iterator[tuple[str, SecretKeyRef]]:
    if kafka is not None and kafka.credentials_secret_ref is not None:
        for key in keys:
            ref = SecretKeyRef(name=kafka.credentials_secret_ref.name, key=key)
            yield kafka_login.PATH, ref


def _no_secret(ref: SecretKeyRef, namespace: str) -> str:
    return (
        f"no Secret {ref.name!r} with a key {ref.key!r} in namespace {namespace!r} is in this "
        "folder; add a v1/Secret with it"
    )


def _refuse(folder: Folder, declared: Declared, fault: Fault) -> None:
    folder.misfits.append(declared.misfit(fault.path, fault.message))
    folder.faulty[declared.affiliate.namespace] = declared.file
    folder.affiliates.pop(declared.affiliate.name, None)
