"""
The programs of a Kubernetes control plane, built from their Go modules once and kept in the user's
cache. `tests/cluster/go.mod` says which and of which version.

On two cores the first build takes 8 minutes; a folder of the cache holds what was built from one
go.mod, so that another version is another folder.
"""

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from hashlib import sha256
from pathlib import Path

MODULE = Path(__file__).parents[1] / "cluster"
CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")

_GO = (1, 26)
_KUBERNETES = "k8s.io/kubernetes"


def binaries() -> Path:
    """The folder of the programs, built where they are missing: by one, all others wait."""
    kept = _folder()
    if not built():
        kept.mkdir(parents=True, exist_ok=True)
        with (kept / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not built():
                _build(kept)
    return kept


def built() -> bool:
    return all((_folder() / name).exists() for name in CONTROL_PLANE)


def version() -> str:
    """Of Kubernetes, as `v1.34.4`."""
    [found] = re.findall(rf"{_KUBERNETES} (v\S+)", (MODULE / "go.mod").read_text("utf-8"))
    return str(found)


def lacking() -> str | None:
    """What this machine lacks to build them, in a sentence."""
    if not shutil.which("go"):
        return "no Go to build Kubernetes with; install 1.26 or newer from https://go.dev/dl/"
    said = subprocess.run(["go", "version"], capture_output=True, text=True, check=True).stdout
    [found] = re.findall(r"go(\d+)\.(\d+)", said)
    if tuple(map(int, found)) < _GO:
        return f"{said.strip()} is too old; install 1.26 or newer from https://go.dev/dl/"
    return None


def _folder() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trackmate"
    cache = Path(os.environ.get("TRACKMATE_CACHE") or cache)
    digest = sha256((MODULE / "go.mod").read_bytes()).hexdigest()
    return cache / "cluster" / f"{version()}-{digest[:8]}" / "bin"


def _build(kept: Path) -> None:
    packages = [
        "./etcd" if name == "etcd" else f"{_KUBERNETES}/cmd/{name}" for name in _missing(kept)
    ]
    major, minor, _ = version().removeprefix("v").split(".")
    said = {
        "k8s.io/component-base/version.gitVersion": version(),
        "k8s.io/component-base/version.gitMajor": major,
        "k8s.io/component-base/version.gitMinor": minor,
        "k8s.io/client-go/pkg/version.gitVersion": version(),
    }
    flags = ["-s", "-w", *(f"-X {name}={value}" for name, value in said.items())]
    with tempfile.TemporaryDirectory(dir=kept) as made:
        subprocess.run(
            [
                *("go", "build", "-buildvcs=false", "-ldflags", " ".join(flags)),
                "-o",
                made,
                *packages,
            ],
            cwd=MODULE,
            env={**os.environ, "CGO_ENABLED": "0"},
            check=True,
        )
        for program in Path(made).iterdir():
            program.rename(kept / program.name)


def _missing(kept: Path) -> list[str]:
    return [name for name in CONTROL_PLANE if not (kept / name).exists()]
