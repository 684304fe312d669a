"""
The workspace of the web SDKs, installed by its lock and built: once for a state of the sources on
this machine. Needs `node`.
"""

import fcntl
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from shutil import copytree, ignore_patterns
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
    kept = CACHE / f"sdk-{_digest()}"
    with _alone():
        if not kept.exists():
            fresh = Path(mkdtemp(dir=CACHE))
            copytree(JS, fresh, ignore=ignore_patterns(*_MADE), dirs_exist_ok=True)
            run(fresh, *_INSTALL)
            run(fresh, "npm", "run", "build", "--workspaces", "--if-present")
            fresh.rename(kept)
    return kept


def run(folder: Path, *command: str) -> str:
    """What it printed. A failure shows all of it."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _digest() -> str:
    """Of all that is in the workspace, by name."""
    found = sha256()
    for file in sorted(JS.rglob("*")):
        if file.is_file() and not set(file.relative_to(JS).parts) & {*_MADE}:
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
