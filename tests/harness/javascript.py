"""
The workspace of the web SDKs, installed by its lock and built: once for a state of the sources on
this machine. Needs `node`.
"""

import fcntl
import os
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from shutil import copy2, copytree
from tempfile import mkdtemp

JS = Path(__file__).parents[2] / "sdk/js"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "trackmate-tests"

_INSTALL = ("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
_MADE = ("node_modules", "dist")


def workspace() -> Path:
    """
    A copy of `sdk/js` with its packages and with every bundle. The same for the same sources, so
    nobody writes into it.
    """
    kept = CACHE / f"sdk-{_digest(_sources())}"
    with _alone():
        if not kept.exists():
            fresh = Path(mkdtemp(dir=CACHE))
            copytree(_packages(), fresh, symlinks=True, copy_function=os.link, dirs_exist_ok=True)
            _copy(_sources(), fresh)
            run(fresh, "npm", "run", "build", "--workspaces", "--if-present")
            fresh.rename(kept)
    return kept


def _packages() -> Path:
    """What the lock names, installed: it changes seldom, and takes most of the time."""
    wanted = [file for file in _sources() if file.name in {"package.json", "package-lock.json"}]
    kept = CACHE / f"sdk-packages-{_digest(wanted)}"
    if not kept.exists():
        fresh = Path(mkdtemp(dir=CACHE))
        _copy(wanted, fresh)
        run(fresh, *_INSTALL)
        fresh.rename(kept)
    return kept


def _sources() -> list[Path]:
    found = (file for file in sorted(JS.rglob("*")) if file.is_file())
    return [file for file in found if not {*_MADE} & {*file.relative_to(JS).parts}]


def _copy(files: Iterable[Path], to: Path) -> None:
    for file in files:
        copy = to / file.relative_to(JS)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.unlink(missing_ok=True)  # else what is linked to it would be written
        copy2(file, copy)


def run(folder: Path, *command: str) -> str:
    """What it printed. A failure shows all of it."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _digest(files: Iterable[Path]) -> str:
    found = sha256()
    for file in files:
        found.update(f"{file.relative_to(JS)}\0".encode())
        found.update(sha256(file.read_bytes()).digest())
    return found.hexdigest()[:16]


@contextmanager
def _alone() -> Iterator[None]:
    """One process of a run at a time."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "sdk.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
