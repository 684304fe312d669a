"""
The claims of another file of tests, for a file that makes them of another instance: what is named
is put beside a fixture of its own.
"""

import importlib.util
from pathlib import Path
from typing import Any

_TESTS = Path(__file__).parents[1]


def claims(file: str, *names: str) -> dict[str, Any]:
    """Tests and fixtures by their names; `file` is relative to tests/."""
    spec = importlib.util.spec_from_file_location(f"claims.{Path(file).stem}", _TESTS / file)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return {name: getattr(module, name) for name in names}
