"""
`make cluster` and `make cluster-down`: a Kubernetes with both CRDs, its kubeconfig and a kubectl
that uses it in `.cluster/`.

Providers: `local` is a control plane of processes of this machine; `kind` is a cluster in Docker;
`existing` is whatever the current context of kubectl is, to which only the CRDs are added.
"""

import argparse
import os
import shutil
import subprocess
from pathlib import Path

import cluster_keeper
from cluster_access import CRDS
from cluster_binaries import MODULE, binaries, built, lacking, version

HOME = MODULE.parents[1] / ".cluster"

_KIND = "trackmate"


def up(home: Path, provider: str) -> str:
    """What to do next, once it is there."""
    there = _provider(home)
    if there not in {None, provider}:
        raise SystemExit(f"There is a cluster already, of the provider {there}: make cluster-down")
    home.mkdir(parents=True, exist_ok=True)
    running = cluster_keeper.keeper(home) is not None
    kubectl = {"local": _local, "kind": _in_docker, "existing": _existing}[provider](home)
    (home / "provider").write_text(provider, "utf-8")
    _write_kubectl(home, kubectl)
    for command in (
        ["apply", "--server-side", "--force-conflicts", "-f", str(CRDS)],
        ["wait", "--for=condition=Established", "--timeout=60s", "-f", str(CRDS)],
    ):
        _run([str(home / "kubectl"), *command])
    return (
        f"{'Running already' if running else 'Running'}, with the CRDs: "
        f"{os.path.relpath(home / 'kubectl')} get affiliates\n"
        f"For other programs: export KUBECONFIG={home / 'kubeconfig'}; to end it: make cluster-down"
    )


def down(home: Path) -> str:
    provider = _provider(home)
    if provider is None:
        return "There is no cluster."
    cluster_keeper.end(home)
    if provider == "kind":
        _run(["kind", "delete", "cluster", "--name", _KIND])
    shutil.rmtree(home)
    return {"existing": "Forgotten; it is as it was, and has the CRDs."}.get(provider, "Stopped.")


def _provider(home: Path) -> str | None:
    file = home / "provider"
    return file.read_text("utf-8") if file.exists() else None


def _local(home: Path) -> Path:
    build()
    try:
        cluster_keeper.keep(home)
    except AssertionError as failed:
        raise SystemExit(f"It did not start; its logs are in {home}.\n{failed}") from None
    return binaries() / "kubectl"


def _in_docker(home: Path) -> Path:
    kubectl = _found("kubectl", "kind", "docker")
    there = subprocess.run(["kind", "get", "clusters"], capture_output=True, text=True, check=True)
    making = ["kind", "create", "cluster", "--name", _KIND, "--wait", "120s"]
    keeping = ["kind", "export", "kubeconfig", "--name", _KIND]
    command = keeping if _KIND in there.stdout.split() else making
    _run([*command, "--kubeconfig", str(home / "kubeconfig")])
    return kubectl


def _existing(home: Path) -> Path:
    kubectl = _found("kubectl")
    shown = subprocess.run(
        [kubectl, "config", "view", "--minify", "--flatten", "--raw"],
        capture_output=True,
        text=True,
        check=False,
    )
    if shown.returncode:
        raise SystemExit(f"kubectl has no current context: {shown.stderr.strip()}")
    file = home / "kubeconfig"
    file.touch(mode=0o600)
    file.write_text(shown.stdout, "utf-8")
    return kubectl


def build() -> None:
    """The control plane's programs, where they are missing; say what is lacking for it."""
    if built():
        return
    lack = lacking()
    if lack:
        raise SystemExit(f"There is {lack}")
    print(f"Building Kubernetes {version()} from source, once: some 8 minutes on two cores.")
    binaries()


def _found(*programs: str) -> Path:
    """Of the first program, when all are there."""
    for name in programs:
        if not shutil.which(name):
            raise SystemExit(f"There is no {name} in the PATH, which this provider needs.")
    return Path(shutil.which(programs[0]) or "")


def _write_kubectl(home: Path, kubectl: Path) -> None:
    """A kubectl that can talk to this cluster alone, whatever the environment says."""
    places = f'KUBECONFIG="{home / "kubeconfig"}" KUBECACHEDIR="{home / "cache"}"'
    script = f'#!/bin/sh\n{places} exec "{kubectl}" "$@"\n'
    (home / "kubectl").write_text(script, "utf-8")
    (home / "kubectl").chmod(0o755)


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stderr.strip()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("do", choices=["up", "down", "binaries"])
    parser.add_argument("--provider", choices=["local", "kind", "existing"], default="local")
    parser.add_argument("--home", type=Path, default=HOME)
    asked = parser.parse_args()
    if asked.do == "binaries":
        build()
        return
    home = asked.home.resolve()
    print(up(home, asked.provider) if asked.do == "up" else down(home))


if __name__ == "__main__":
    main()
