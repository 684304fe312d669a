"""
Where the running instance of a folder is found: `.trackmate/instance.json` beside its data.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

HOME = Path(".trackmate")


@dataclass(frozen=True)
class Address:
    """How to reach an instance."""

    url: str
    metrics_url: str
    data: str
    pid: int

    @classmethod
    def read(cls, home: Path = HOME) -> "Address | None":
        """The instance of this folder, if one said that it runs. It may have died since."""
        try:
            return cls(**json.loads((home / "instance.json").read_text("utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    @contextmanager
    def announced(self, home: Path = HOME) -> Iterator[None]:
        """Be found while the block runs."""
        home.mkdir(exist_ok=True)
        file = home / "instance.json"
        draft = home / f"instance.{os.getpid()}.json"
        draft.write_text(json.dumps(asdict(self)), "utf-8")
        draft.replace(file)
        try:
            yield
        finally:
            if Address.read(home) == self:
                file.unlink()
