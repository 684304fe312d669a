"""
A program's settings, from its file and the environment.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from trackmate_contract.faults import Fault, Place
from trackmate_contract.settings import Model, read
from trackmate_programs import yaml_file


def read_settings(
    model: type[Model],
    path: Path,
    environment: Mapping[str, str],
    *,
    variables: str,
    relate: Callable[[Place], Iterator[Fault]],
) -> Model:
    """
    As of `trackmate_contract.settings.read`; `variables` is what the names of the environment's
    begin with. Raises Faulty with all faults at once.
    """
    return read(
        model,
        yaml_file.read(path),
        environment,
        program=variables,
        value=yaml_file.value,
        relate=relate,
    )
