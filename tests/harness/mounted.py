"""
Files as Kubernetes mounts them from ConfigMaps and Secrets: symbolic links into a folder that is
swapped as a whole.
"""

from collections.abc import Mapping
from itertools import count
from pathlib import Path
from shutil import rmtree


class Mounted:
    """A folder of files that change all at once."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self._numbers = count(1)
        self._files: dict[str, str] = {}

    def write(self, files: Mapping[str, str]) -> None:
        """Change these, and leave the others."""
        self._files |= files
        now = self.folder / f"..{next(self._numbers)}"
        now.mkdir()
        for name, text in self._files.items():
            (now / name).write_text(text, "utf-8")
        data = self.folder / "..data"
        before = data.resolve() if data.exists() else None
        link = self.folder / "..data_tmp"
        link.symlink_to(now.name)
        link.rename(data)
        for name in self._files:
            if not (self.folder / name).is_symlink():
                (self.folder / name).symlink_to(Path("..data") / name)
        if before is not None:
            rmtree(before)

    def path(self, name: str) -> str:
        return str(self.folder / name)
