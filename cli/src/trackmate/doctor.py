"""
`trackmate doctor`: what keeps a machine, an instance or a cluster from working, each with its cure.
"""

import os
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from trackmate import show
from trackmate.checks import Check
from trackmate.dev.address import HOME, Address
from trackmate.reaching import is_cluster, on_cluster

_PYTHON = (3, 11)
_SQLITE = (3, 35, 0)
_FREE_BYTES = 1 << 30
_SLOW_SYNC_MS = 50.0
_SYNCS = 20


def examine(context: str | None) -> list[Check]:
    """All checks, the cheap ones first; of a cluster where one is meant. Raises Refusal."""
    if is_cluster(context):
        with on_cluster(context) as cluster:
            show.target(cluster.said)
            return cluster.examine()
    checks: list[Callable[[], Check]] = [_python, _sqlite, _disk_space, _sync, _instance, _books]
    return [check() for check in checks]


def _python() -> Check:
    version = sys.version.split()[0]
    return Check("Python", sys.version_info >= _PYTHON, f"{version}, needed 3.11 or newer")


def _sqlite() -> Check:
    found = sqlite3.sqlite_version_info
    return Check("SQLite", found >= _SQLITE, f"{sqlite3.sqlite_version}, needed 3.35 or newer")


def _data() -> Path:
    address = Address.read()
    data = Path(address.data) if address else HOME
    return data if data.is_dir() else Path()


def _disk_space() -> Check:
    free = shutil.disk_usage(_data()).free
    detail = f"{free / (1 << 30):.1f} GiB free, wanted 1 GiB; make room, or choose --data"
    return Check("Disk space", free >= _FREE_BYTES, detail)


def _sync() -> Check:
    """What a 200 waits for: how long the disk takes to make bytes durable."""
    try:
        with tempfile.TemporaryFile(dir=_data()) as file:
            took = [_sync_once(file.fileno()) for _ in range(_SYNCS)]
    except OSError as error:
        return Check(
            "Disk sync", passed=False, detail=f"the data folder cannot be written: {error}"
        )
    median = sorted(took)[_SYNCS // 2]
    detail = f"{median:.2f} ms, wanted under {_SLOW_SYNC_MS:g} ms; use a local disk for --data"
    return Check("Disk sync", median < _SLOW_SYNC_MS, detail)


def _sync_once(descriptor: int) -> float:
    started = time.perf_counter()
    os.write(descriptor, b"x" * 4096)
    os.fsync(descriptor)
    return (time.perf_counter() - started) * 1000


def _instance() -> Check:
    address = Address.read()
    if address is None:
        return Check("Instance", passed=True, detail="none runs in this folder: trackmate dev")
    try:
        ready = httpx.get(f"{address.url}/readyz", timeout=5, trust_env=False).json()
    except (httpx.HTTPError, ValueError) as error:
        detail = f"{address.url} (process {address.pid}) does not answer ({error}): trackmate dev"
        return Check("Instance", passed=False, detail=detail)
    return Check("Instance", ready["ready"], f"{address.url} {ready['reason'] or 'is ready'}")


def _books() -> Check:
    address = Address.read()
    if address is None:
        return Check("Books", passed=True, detail="nothing to check")
    try:
        state = httpx.get(f"{address.url}/api/affiliates", timeout=30, trust_env=False).json()
    except (httpx.HTTPError, ValueError) as error:
        return Check("Books", passed=False, detail=f"cannot be read ({error})")
    open_books = [a["name"] for a in state["affiliates"] if not a["ledger"]["balanced"]]
    faults = len(state["faults"])
    affiliates = show.counted(len(state["affiliates"]), "affiliate")
    detail = f"{affiliates}, {show.counted(faults, 'fault')} in the YAML"
    if open_books:
        detail = f"those of {', '.join(open_books)} do not balance: trackmate audit NAME"
    return Check("Books", not open_books and not faults, detail)
