"""
What is wrong in a folder of YAML. Data alone.
"""

from typing import NamedTuple


class Misfit(NamedTuple):
    """A fault, and where a person finds it."""

    file: str
    line: int | None
    path: str
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.path}: {self.message}" if self.path else f"{where}: {self.message}"
