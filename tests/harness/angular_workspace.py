"""
The Angular package and its example, which have a lock of their own, as Angular's tools ask for a
TypeScript of their own: built once for a state of the sources on this machine. Needs `node`.
"""

import fcntl
import os
from hashlib import sha256
from pathlib import Path
from shutil import copy, copytree, ignore_patterns
from tempfile import mkdtemp

from javascript import CACHE, JS, run, workspace

_INSTALL = ("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
_MADE = ignore_patterns("node_modules", "dist")


def angular() -> Path:
    """The folder of the package with its packages and all that is built. Nobody writes into it."""
    core = workspace() / "core"
    kept = CACHE / f"angular-{_digest(JS / 'angular', core / 'dist')}"
    with (CACHE / "angular.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            fresh = Path(mkdtemp(dir=CACHE))
            copytree(core, fresh / "core", ignore=ignore_patterns("node_modules"))
            copytree(JS / "angular", fresh / "angular", ignore=_MADE)
            packages = fresh / "angular/node_modules"
            copytree(_packages(), packages, symlinks=True, copy_function=os.link)
            run(fresh / "angular", "npm", "run", "build")
            run(fresh / "angular", "npm", "run", "example")
            fresh.rename(kept)
    return kept / "angular"


def _packages() -> Path:
    """The `node_modules` of the lock: a minute's work, which a change of the sources needs not."""
    kept = CACHE / f"angular-packages-{_digest(JS / 'angular/package-lock.json')}"
    if not kept.exists():
        fresh = Path(mkdtemp(dir=CACHE))
        for name in ("angular/package.json", "angular/package-lock.json", "core/package.json"):
            (fresh / name).parent.mkdir(exist_ok=True)
            copy(JS / name, fresh / name)
        run(fresh / "angular", *_INSTALL)
        fresh.rename(kept)
    return kept / "angular/node_modules"


def _digest(*sources: Path) -> str:
    """Of these files and all that is in these folders, by name."""
    found = sha256()
    for source in sources:
        for file in sorted(source.rglob("*")) if source.is_dir() else [source]:
            name = file.relative_to(source)
            if file.is_file() and not {"node_modules", "dist"} & set(name.parts):
                found.update(f"{name}\0".encode())
                found.update(sha256(file.read_bytes()).digest())
    return found.hexdigest()[:16]
