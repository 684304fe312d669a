"""
What some tests need and not every machine has: the one list of reasons not to run a test.

`make test` names at its end what was not run. In CI nothing of this list is missing, and a test
says so; another reason to skip does not exist.
"""

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cluster_binaries
import firefox
import kafka_broker
import webkit
from postgres import programs

CHROMIUM = "/usr/bin/chromium"


@dataclass(frozen=True)
class Need:
    """Something of the machine. `reason` is what `make test` prints where it is missing."""

    reason: str
    there: Callable[[], bool]


NEEDS = {
    "chromium": Need(
        "no Chromium at /usr/bin/chromium: apt-get install chromium", Path(CHROMIUM).exists
    ),
    "firefox": Need(
        f"no Firefox at {firefox.FIREFOX}: apt-get install firefox-esr",
        Path(firefox.FIREFOX).exists,
    ),
    "webkit": Need(
        "no WebKit to be driven: apt-get install webkit2gtk-driver xvfb",
        lambda: Path(webkit.DRIVER).exists() and Path(webkit.DISPLAY).exists(),
    ),
    "node": Need(
        "no Node.js 20 or newer with npm: needed for the clients of others",
        lambda: bool(shutil.which("node") and shutil.which("npm")),
    ),
    "strace": Need(
        "no strace, or not allowed to trace: apt-get install strace",
        lambda: bool(shutil.which("strace")) and _may_trace(),
    ),
    "mount": Need(
        "not root on Linux: a file system of a bounded size cannot be mounted",
        lambda: sys.platform == "linux" and os.geteuid() == 0,
    ),
    "kafka": Need(
        "no Java and Maven for a Kafka: apt-get install default-jre-headless maven",
        kafka_broker.there,
    ),
    "linux": Need("not Linux", lambda: sys.platform == "linux"),
    "cluster": Need(
        "no Kubernetes built here: make cluster-binaries (once; needs Go 1.26, takes minutes)",
        cluster_binaries.built,
    ),
    "postgres": Need("no PostgreSQL: apt-get install postgresql", lambda: programs() is not None),
    "pgbouncer": Need(
        "no PgBouncer: apt-get install pgbouncer", lambda: bool(shutil.which("pgbouncer"))
    ),
    "curl": Need("no curl", lambda: bool(shutil.which("curl"))),
}


def _may_trace() -> bool:
    import subprocess  # noqa: PLC0415 - asked once

    tried = subprocess.run(["strace", "-f", "true"], capture_output=True, check=False)
    return tried.returncode == 0
