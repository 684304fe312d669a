"""
Pydantic's findings in words that need no knowledge of pydantic. A kind of finding that is not in
`_MESSAGES` is a mistake of ours, and raises KeyError.
"""

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from .faults import Fault, Faulty
from .quantity import quoted

Model = TypeVar("Model", bound=BaseModel)


def made(model: type[Model], document: object, *, related: Iterable[Fault] = ()) -> Model:
    """What the document says; raises Faulty with what is wrong in it, and what was `related`."""
    also = tuple(related)
    try:
        found = model.model_validate(document)
    except ValidationError as errors:
        raise Faulty((*sentences(errors.errors(), model), *also)) from None
    if also:
        raise Faulty(also)
    return found


def without_nulls(value: object) -> object:
    """The API server drops nulls before it fills in defaults; so does everybody else."""
    if isinstance(value, Mapping):
        return {str(k): without_nulls(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value


def sentences(errors: Iterable[ErrorDetails], root: type[BaseModel]) -> Iterator[Fault]:
    """What pydantic found in a document of the kind `root`."""
    for error in errors:
        if not _miscounted(error):
            yield Fault(_path(error["loc"]), _MESSAGES[error["type"]](error, root))


def _miscounted(error: ErrorDetails) -> bool:
    """Pydantic counts only items without a fault, and so finds too few where none are missing."""
    return error["type"] == "too_short" and len(error["input"]) >= error["ctx"]["min_length"]


def _path(loc: tuple[int | str, ...]) -> str:
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)
    return "".join(parts).lstrip(".")


def _field(root: type[BaseModel], loc: tuple[int | str, ...]) -> FieldInfo:
    *above, name = (part for part in loc if isinstance(part, str))
    return _fields(_model(root, tuple(above)))[name]


def _model(root: type[BaseModel], loc: tuple[int | str, ...]) -> type[BaseModel]:
    """The model that describes the fields of the value at `loc`."""
    model = root
    for name in loc:
        if isinstance(name, str):
            model = _model_in(_fields(model)[name].annotation) or model
    return model


def _model_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)


def _fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields of a model by their names in YAML."""
    found = model.model_fields.items()
    return {str(field.validation_alias or name): field for name, field in found}


def _value(error: ErrorDetails, root: type[BaseModel]) -> str:
    """The value, unless somebody may have written a secret there by mistake."""
    return quoted(error["input"]) if _field(root, error["loc"]).repr else "what is there"


def _missing(error: ErrorDetails, root: type[BaseModel]) -> str:
    name = error["loc"][-1]
    [example] = _field(root, error["loc"]).examples or ["…"]
    return f"{name!r} is missing; add it, like {name}: {example}"


def _unknown(error: ErrorDetails, root: type[BaseModel]) -> str:
    *above, name = error["loc"]
    known = list(_fields(_model(root, tuple(above))))
    close = get_close_matches(str(name), known, n=1)
    if close:
        return f"unknown field {name!r}; did you mean {close[0]!r}?"
    if not known:
        return f"unknown field {name!r}; no fields are possible here, write {{}}"
    return f"unknown field {name!r}; the fields here are {', '.join(map(repr, known))}"


def _choice(error: ErrorDetails, root: type[BaseModel]) -> str:
    return f"{_value(error, root)} is not possible here; write {error['ctx']['expected']}"


def _boolean(error: ErrorDetails, root: type[BaseModel]) -> str:
    return f"{_value(error, root)} is neither true nor false; write one of them, without quotes"


def _whole(error: ErrorDetails, root: type[BaseModel]) -> str:
    return f"{_value(error, root)} is not a whole number; write digits without quotes, like 2"


def _too_small(error: ErrorDetails, root: type[BaseModel]) -> str:
    return f"{_value(error, root)} is too small; write {error['ctx']['ge']} or more"


def _too_large(error: ErrorDetails, root: type[BaseModel]) -> str:
    return f"{_value(error, root)} is too large; write {error['ctx']['le']} or less"


def _list(error: ErrorDetails, root: type[BaseModel]) -> str:
    return f"{_value(error, root)} is not a list; write its items in [ ], or each after '- '"


def _too_long(error: ErrorDetails, root: type[BaseModel]) -> str:
    context = error["ctx"]
    return f"{context['actual_length']} items are too many; keep {context['max_length']} or fewer"


def _too_short(error: ErrorDetails, root: type[BaseModel]) -> str:
    return f"{_value(error, root)} has too few items; write {error['ctx']['min_length']} or more"


def _mapping(error: ErrorDetails, root: type[BaseModel]) -> str:
    known = ", ".join(map(repr, _fields(_model(root, error["loc"])))) or "none, so write {}"
    return f"{_value(error, root)} is not a set of fields; the fields here are {known}"


def _ours(error: ErrorDetails, root: type[BaseModel]) -> str:
    return str(error["ctx"]["error"])


_MESSAGES = {
    "missing": _missing,
    "extra_forbidden": _unknown,
    "literal_error": _choice,
    "bool_type": _boolean,
    "int_type": _whole,
    "greater_than_equal": _too_small,
    "less_than_equal": _too_large,
    "tuple_type": _list,
    "too_long": _too_long,
    "too_short": _too_short,
    "model_type": _mapping,
    "model_attributes_type": _mapping,
    "value_error": _ours,
}
