"""
One YAML file or text, read as Kubernetes reads it: a key given twice is a fault.
"""

from pathlib import Path
from typing import Any

import yaml

from trackmate_contract.faults import Fault, Faulty

_MOST_BYTES = 1 << 20


class _Loader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - the signature of PyYAML
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} is given twice", key.start_mark
                )
            seen.add(getattr(key, "value", None) if isinstance(key, yaml.ScalarNode) else None)
        return super().construct_mapping(node, deep)


def read(path: Path) -> object:
    """The document of a file. Raises Faulty with one sentence."""
    text = read_text(path)
    try:
        return value(text)
    except ValueError as error:
        raise Faulty((Fault("", str(error)),)) from None


def read_text(path: Path, name: str = "") -> str:
    """The text of a file that the setting `name` names. Raises Faulty with one sentence."""
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES + 1)
        if len(text) <= _MOST_BYTES:
            return text.decode()
        what = f"has more than {_MOST_BYTES} bytes; name another file"
    except UnicodeDecodeError as error:
        what = f"is not UTF-8 text at byte {error.start}; write it in UTF-8"
    except OSError as error:
        what = f"cannot be read ({error.strerror}); check the path and who may read it"
    raise Faulty((Fault(name, f"{str(path)!r} {what}"),))


def value(text: str) -> object:
    """
    What a YAML text says. Raises ValueError with one sentence.

    >>> value("{bytes: 64Ki}")
    {'bytes': '64Ki'}
    >>> value("a: 1\\na: 2")
    Traceback (most recent call last):
    ValueError: line 2 is not YAML: the key 'a' is given twice
    """
    try:
        return yaml.load(text, _Loader)  # noqa: S506 - it is a safe one
    except yaml.MarkedYAMLError as error:
        where = f"line {error.problem_mark.line + 1} " if error.problem_mark else ""
        raise ValueError(f"{where}is not YAML: {error.problem or error.context}") from None
    except RecursionError:
        raise ValueError("is nested too deep, or holds itself; write it out") from None
    except (yaml.YAMLError, ValueError, TypeError, AttributeError) as error:  # of odd YAML tags
        raise ValueError(f"is not YAML: {error}") from None
