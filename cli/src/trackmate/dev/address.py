"""
Where the running instance of a folder is found: `.trackmate/instance.json` beside its data.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

HOME = Path(".trackmate")
LOCK = "lock"
"""In the data folder: its process holds it from start to end, however that comes."""


@dataclass(frozen=True)
class Address:
    """How to reach an instance."""

    url: str
    metrics_url: str
    data: str
    pid: int

    @classmethod
    def read(cls, home: Path = HOME) -> "Address | None":
        """The instance of this folder, if one said that it runs, and has not died since."""
        try:
            found = cls(**json.loads((home / "instance.json").read_text("utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return None
        return found if _is_held(Path(found.data) / LOCK) else None

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


def _is_held(lock: Path) -> bool:
    try:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:  # held, or of somebody else, who may hold it
        return True
    return False
