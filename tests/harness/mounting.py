"""
A program started with exactly the Secrets and ConfigMaps that the operator made, laid out as the
kubelet would mount them. Where they lie is said by the environment, as any setting may be.
"""

import json
import os
import re
import subprocess
import sys
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from cluster_access import Cluster
from loopback import LOOPBACK
from waiting_for import wait_until

_PORT = re.compile(r'"port": (\d+)')


def files(plane: Cluster, kind: str, name: str, namespace: str) -> dict[str, str]:
    """What a Secret or a ConfigMap holds."""
    found = plane.read(kind, name, "-n", namespace).get("data", {})
    if kind == "configmap":
        return dict(found)
    return {file: b64decode(text).decode() for file, text in found.items()}


def mount(plane: Cluster, kind: str, name: str, namespace: str, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in files(plane, kind, name, namespace).items():
        (folder / file).write_text(text)
    return folder


@contextmanager
def ingest(plane: Cluster, affiliate: str, home: Path) -> Iterator[str]:
    """`trackmate-ingest` of an affiliate; its address."""
    namespace = f"trackmate-{affiliate}"
    mount(plane, "secret", f"{affiliate}-keys", namespace, home / "keys")
    mount(plane, "secret", "trackmate-ingest-kafka", namespace, home / "kafka")
    mount(plane, "configmap", "trackmate-ingest", namespace, home / "settings")
    overrides = {
        "KEYS_FILE": str(home / "keys/keys.json"),
        "LISTEN__HOST": "127.0.0.1",
        "LISTEN__PORT": "0",
    }
    with _running("ingest", home, overrides) as log:
        wait_until(lambda: '"started"' in log.read_text(), "ingest starts", seconds=40)
        found = _PORT.search(log.read_text())
        assert found, log.read_text()
        yield f"http://127.0.0.1:{found[1]}"


@contextmanager
def consume(plane: Cluster, affiliate: str, pipeline: str, home: Path) -> Iterator[None]:
    """`trackmate-consume` of a pipeline."""
    namespace, name = f"trackmate-{affiliate}", f"trackmate-pipeline-{pipeline}"
    mount(plane, "secret", f"{name}-kafka", namespace, home / "kafka")
    mount(plane, "configmap", name, namespace, home / "settings")
    (home / "secrets").mkdir(exist_ok=True)
    with _running("consume", home, {"SECRETS_FOLDER": str(home / "secrets")}):
        yield


@contextmanager
def _running(part: str, home: Path, overrides: dict[str, str]) -> Iterator[Path]:
    program = f"trackmate-{part}"
    prefix = f"TRACKMATE_{part.upper()}__"
    everywhere = {
        "KAFKA__SASL__PASSWORD_FILE": str(home / "kafka/password"),
        "METRICS__HOST": "127.0.0.1",
        "METRICS__PORT": "0",
        **overrides,
    }
    log = home / f"{part}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [
                str(Path(sys.executable).with_name(program)),
                "--settings",
                str(home / "settings/settings.yaml"),
            ],
            stdout=out,
            stderr=out,
            env={**os.environ, **{prefix + name: value for name, value in everywhere.items()}},
        )
    try:
        yield log
        assert process.poll() is None, log.read_text()
    finally:
        process.terminate()
        process.wait(timeout=30)


def keys(plane: Cluster, affiliate: str) -> dict[str, str]:
    """The newest value of each write key, by its name."""
    held = files(plane, "secret", f"{affiliate}-keys", f"trackmate-{affiliate}")
    found: list[Any] = json.loads(held["keys.json"])
    return {one["name"]: one["key"] for one in found}


def carried(
    plane: Cluster, affiliate: str, pipeline: str, event: bytes, *, home: Path, out: Path
) -> None:
    """
    The event goes from ingest to the file that the pipeline writes in `out`, by programs that have
    nothing but what the operator made. The affiliate has the write key `server`.
    """
    with (
        ingest(plane, affiliate, home / "ingest") as url,
        consume(plane, affiliate, pipeline, home / "consume"),
    ):
        wait_until(lambda: httpx.get(f"{url}/readyz", **LOOPBACK).status_code == 200, "it is ready")
        answer = httpx.post(
            f"{url}/v1/events",
            content=event,
            headers={
                "Authorization": f"Bearer {keys(plane, affiliate)['server']}",
                "Content-Type": "application/json",
                "Host": f"{affiliate}.track.example.com",
            },
            **LOOPBACK,
        )
        assert answer.json() == {"status": "stored", "events": 1}
        wait_until(lambda: event in _written(out), "it is in the file", seconds=40)


def _written(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file())
