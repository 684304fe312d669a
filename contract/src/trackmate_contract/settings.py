"""
A program's settings: one file, whose every line an environment variable may override.

A setting's variable is the program's name and the way to the setting, in capitals, with two
underscores between the steps: `kafka.bootstrapServers` of `trackmate-ingest` is
`TRACKMATE_INGEST__KAFKA__BOOTSTRAP_SERVERS`. Two, because Kubernetes sets `TRACKMATE_INGEST_PORT`
and the like by itself, for a Service of that name. Its value is written as in the file.

Who reads files and YAML is the program; here are documents and what they mean.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple, TypeVar, get_args

from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo

from .faults import Fault, Faulty, Place
from .quantity import DURATION, SIZE, quoted
from .sentences import made, without_nulls
from .specs import Spec, yaml_name

_FORMS = {DURATION: "duration", SIZE: "size"}
_KINDS = {"string": "text", "integer": "number", "boolean": "true | false", "array": "list"}
_STEP = "__"

Documents = dict[str, Any]


class Settings(BaseModel):
    """
    A group of settings. The text below each field is what `--help` says of it, its unit included; a
    field with `repr=False` may hold a secret by mistake, and no message repeats its value.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=yaml_name, use_attribute_docstrings=True
    )


Model = TypeVar("Model", bound=Settings)


def _unrelated(document: Place) -> Iterator[Fault]:
    yield from ()


def read(
    model: type[Model],
    document: object,
    environment: Mapping[str, str],
    *,
    program: str,
    value: Callable[[str], object],
    relate: Callable[[Place], Iterator[Fault]] = _unrelated,
) -> Model:
    """
    The settings of a document and an environment; raises Faulty with all faults at once.

    `value` reads the text of a variable as the file is read, and raises ValueError where it cannot.
    `relate` says what does not fit together, as in `rules.py`.

    >>> from .kafka import Kafka
    >>> set_here = {"DEMO__BOOTSTRAP_SERVERS": "b.example:9093"}
    >>> file = {"bootstrapServers": "a.example:9093", "relaxed": True}
    >>> read(Kafka, file, set_here, program="DEMO", value=str).bootstrap_servers
    'b.example:9093'
    >>> read(Kafka, {"bootstrapServer": "a.example:9093"}, set_here, program="DEMO", value=str)
    Traceback (most recent call last):
    trackmate_contract.faults.Faulty: bootstrapServer: unknown field 'bootstrapServer'; did you \
mean 'bootstrapServers'?
    """
    faults: list[Fault] = []
    present = without_nulls({} if document is None else document)
    if not isinstance(present, dict):
        what = f"{quoted(document)} is not a set of settings; write name: value, each on its line"
        raise Faulty((Fault("", what),))
    set_here: dict[str, str] = {}
    for setting, text in _overrides(model, program, environment, faults):
        try:
            _put(present, setting.path, without_nulls(value(text)))
        except ValueError as error:
            faults.append(Fault(setting.variable, str(error)))
        set_here[setting.path] = setting.variable
    try:
        taken = made(model, present, related=relate(Place("", present)))
    except Faulty as faulty:
        faults += [_where_it_was_set(fault, set_here) for fault in faulty.faults]
    if faults:
        raise Faulty(tuple(faults))
    return taken


def _put(document: Documents, path: str, value: object) -> None:
    *above, name = path.split(".")
    for step in above:
        inner = document.get(step)
        document[step] = document = dict(inner) if isinstance(inner, Mapping) else {}
    document[name] = value


def _where_it_was_set(fault: Fault, set_here: Mapping[str, str]) -> Fault:
    """A fault of what the environment says is looked for there, not in the file."""
    for path, variable in set_here.items():
        if re.fullmatch(rf"{re.escape(path)}([.\[].*)?", fault.path):
            return Fault(variable + fault.path.removeprefix(path), fault.message)
    return fault


def _overrides(
    model: type[Settings], program: str, environment: Mapping[str, str], faults: list[Fault]
) -> Iterator[tuple["Setting", str]]:
    """What the environment sets, a group before what is in it; an empty variable sets nothing."""
    known = {setting.variable: setting for setting in settings(model, program)}
    for name in sorted(environment):
        if not name.startswith(program + _STEP) or not environment[name].strip():
            continue
        if name in known:
            yield known[name], environment[name]
        else:
            faults.append(Fault(name, _no_variable(name, known)))


def _no_variable(name: str, known: Mapping[str, "Setting"]) -> str:
    close = get_close_matches(name, known, n=1)
    cure = f"did you mean {close[0]}?" if close else "--help lists those there are"
    return f"no setting has this variable; {cure}"


class Setting(NamedTuple):
    """One line of `--help`."""

    path: str
    """As in the file: `kafka.bootstrapServers`."""
    variable: str
    form: str
    default: str
    """As it is written in the file; "required" where there is none, "" where nothing stands."""
    text: str


def settings(model: type[Settings], program: str) -> Iterator[Setting]:
    """Every setting of a program, in the order of the model."""
    for path, field, schema in _fields(model, ""):
        variable = _STEP.join([program, *map(_capitals, path.split("."))])
        form = _form(schema)
        yield Setting(path, variable, form, _default(field, form), _line(field))


def described(model: type[Settings], program: str) -> str:
    """
    The settings as `--help` prints them.

    >>> from .kafka import Kafka
    >>> print("\\n".join(described(Kafka, "DEMO").splitlines()[:3]))
    bootstrapServers  (text, required)
        DEMO__BOOTSTRAP_SERVERS
        Where to ask for the brokers first: host:port, with commas between.
    """
    return "\n\n".join(
        f"{setting.path}  ({_brackets(setting)})\n    {setting.variable}\n    {setting.text}"
        for setting in settings(model, program)
    )


def _brackets(setting: Setting) -> str:
    default = setting.default
    if default and default != "required":
        default = f"default {default}"
    return ", ".join(filter(None, (setting.form, default)))


def _fields(model: type[Settings], above: str) -> Iterator[tuple[str, FieldInfo, Documents]]:
    schema = model.model_json_schema()["properties"]
    for name, field in model.model_fields.items():
        alias = yaml_name(name)
        group = _group(field.annotation)
        if group is None or field.default is None:
            yield above + alias, field, schema[alias]
        if group is not None:
            yield from _fields(group, f"{above}{alias}.")


def _group(annotation: object) -> type[Settings] | None:
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return annotation
    return next(filter(None, map(_group, get_args(annotation))), None)


def _capitals(step: str) -> str:
    """
    >>> _capitals("bootstrapServers")
    'BOOTSTRAP_SERVERS'
    """
    return re.sub(r"([A-Z])", r"_\1", step).upper()


def _form(schema: Documents) -> str:
    """The kind of value, from its JSON schema."""
    for choice in schema.get("anyOf", ()):
        if choice.get("type") != "null" and "pattern" not in schema:
            return _form(choice)
    if "enum" in schema:
        return " | ".join(schema["enum"])
    if schema.get("pattern") in _FORMS:
        return _FORMS[schema["pattern"]]
    if "$ref" in schema:
        return "fields"
    return _KINDS[schema["type"]]


def _default(field: FieldInfo, form: str) -> str:
    if field.is_required():
        return "required"
    if field.default is None or field.default == () or isinstance(field.default, Spec):
        return ""
    if form == "duration":
        return f"{field.default}s"
    return str(field.default).lower() if isinstance(field.default, bool) else str(field.default)


def _line(field: FieldInfo) -> str:
    return " ".join((field.description or "").split())
