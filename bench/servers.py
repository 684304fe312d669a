"""
The two servers that are compared, each alone in a process: `servers.py null|ingest PORT DIR`. Both
run on Trackmate's own server class; `ingest` has the embedded log, and no pipeline.
"""

import socket
import sys
import time
from pathlib import Path
from typing import Any

import uvloop

from trackmate.embedded import log
from trackmate.embedded.database import Database
from trackmate.embedded.log import EmbeddedLog
from trackmate_contract.affiliate import Affiliate
from trackmate_contract.manifest import parse
from trackmate_ingest.app import Ingest
from trackmate_ingest.intake import Directory, Intake
from trackmate_ingest.keys import Use, WriteKey
from trackmate_ingest.metrics import Metrics
from trackmate_ingest.problems import CORS
from trackmate_ingest.server import Server

KEY = "tmw_bench"
AFFILIATE = {
    "apiVersion": "trackmate.io/v1alpha1",
    "kind": "Affiliate",
    "metadata": {"name": "acme"},
    "spec": {"ingest": {"limits": {"requestsPerSecond": 100_000, "bytesPerSecond": "10Gi"}}},
}
_ANSWER = b'{"status":"stored","events":1}\n'
_HEADERS = [
    (b"content-type", b"application/json"),
    (b"content-length", b"%d" % len(_ANSWER)),
    *CORS,  # the answer that Trackmate gives: what it costs to write is the server's affair
]


async def null(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Reads the body and answers, and nothing else."""
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": _ANSWER})


def ingest(directory: Path, metrics: Metrics) -> Ingest:
    """Ingest on the embedded log: a 200 is fsynced."""
    database = Database(directory / "acme.db", log.SCHEMA)
    affiliate = parse(AFFILIATE)
    assert isinstance(affiliate, Affiliate)
    keys = [WriteKey("server", KEY, Use.SERVER)]
    intake = Intake(
        "acme",
        affiliate.spec,
        keys=keys,
        log=EmbeddedLog(database),
        now=time.monotonic(),
    )
    return Ingest(Directory([intake], loopback=True), metrics)


async def serve(name: str, port: int, directory: Path) -> None:
    metrics = Metrics()
    app = null if name == "null" else ingest(directory, metrics)
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        await Server(app, metrics, drain_seconds=1).serve([listener])


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])))
