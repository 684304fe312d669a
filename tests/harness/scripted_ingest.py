"""
An ingest that answers as it is told, for what a client does with an answer: real HTTP on loopback,
every request kept byte for byte.

Answers are those of sdk/contract.yaml, and described in docs/sdk-contract.md. The last one repeats.
"""

import json
import socket
import struct
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

Answer = str | Mapping[str, Any]


def slices(body: bytes) -> list[bytes]:
    """Each event of an array or of NDJSON, as it stands there."""
    text = body.decode()
    at, found = (1 if text.startswith("[") else 0), list[bytes]()
    while (at := at + _gap(text, at)) < len(text) and text[at] != "]":
        end = json.JSONDecoder().raw_decode(text, at)[1]
        found.append(text[at:end].encode())
        at = end
    return found


def _gap(text: str, at: int) -> int:
    rest = text[at:]
    return len(rest) - len(rest.lstrip(" \t\r\n,"))


@dataclass(frozen=True)
class Request:
    """What came, and when."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    at: float
    """Monotonic seconds."""

    @property
    def texts(self) -> list[bytes]:
        return slices(self.body)

    @property
    def events(self) -> list[Any]:
        return [json.loads(text) for text in self.texts]


@dataclass(frozen=True)
class _Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes
    stored: bool = False


class ScriptedIngest:
    """`tell` what to answer; look at `came` and `stored`."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.came: list[Request] = []
        self.stored: list[Request] = []
        """Those of `came` that were told so."""
        self.ended = threading.Event()
        self._answers: list[Answer] = ["stored"]
        self._lock = threading.Lock()

    def tell(self, answers: Sequence[Answer]) -> None:
        """From the next request on."""
        with self._lock:
            self._answers = list(answers)

    def hear(self, request: Request) -> Answer | _Reply:
        with self._lock:
            self.came.append(request)
            more = len(self._answers) > 1
            answer = self._answers.pop(0) if more else self._answers[0]
            if isinstance(answer, str) and answer in _WITHOUT:
                return answer
            reply = _reply(answer, request)
            if reply.stored:
                self.stored.append(request)
            return reply


_WITHOUT = {"reset", "silence", "cut"}
"""What is no answer: the connection breaks, says nothing, or says half."""


def _reply(answer: Answer, request: Request) -> _Reply:
    if answer == "stored":
        said = {"status": "stored", "events": len(request.texts)}
        return _Reply(200, _JSON, json.dumps(said).encode(), stored=True)
    assert isinstance(answer, Mapping), answer
    if "unless" in answer and _passes(answer["unless"], request):
        return _reply("stored", request)
    headers = _retry_after(answer, request)
    if "problem" in answer:
        headers["Content-Type"] = "application/problem+json"
        return _Reply(answer["status"], headers, json.dumps(_problem(answer, request)).encode())
    headers["Content-Type"] = answer.get("type", "text/html")
    return _Reply(answer["status"], headers, str(answer.get("body", "")).encode())


_JSON = {"Content-Type": "application/json"}


def _passes(unless: Mapping[str, Any], request: Request) -> bool:
    """Whether a request is one that is stored all the same."""
    if "at most" in unless:
        return bool(len(request.texts) <= unless["at most"])
    return _index_of(unless["without"], request) is None


def _index_of(name: str, request: Request) -> int | None:
    names = [event.get("event") for event in request.events]
    return names.index(name) if name in names else None


def _problem(answer: Mapping[str, Any], request: Request) -> dict[str, Any]:
    said = {
        "type": f"urn:trackmate:problem:{answer['problem']}",
        "title": "As told",
        "status": answer["status"],
        "detail": "As the script says.",
    }
    if "index" in answer:
        said["event"] = answer["index"]
    if "index of" in answer:
        said["event"] = _index_of(answer["index of"], request)
    return said


def _retry_after(answer: Mapping[str, Any], request: Request) -> dict[str, str]:
    """A date is so many seconds after the client sent, by its own clock."""
    if "retry after" in answer:
        return {"Retry-After": str(answer["retry after"])}
    if "retry at" in answer:
        at = int(request.query["sentAt"]) / 1000 + answer["retry at"]
        return {"Retry-After": formatdate(at, usegmt=True)}
    return {}


_OPEN = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Retry-After",
    "Connection": "close",  # a client may repeat by itself what a kept connection did not answer
}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    ingest: ScriptedIngest


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request("POST", parts.path, query, headers, body, time.monotonic())
        answer = self.server.ingest.hear(request)
        with suppress(ConnectionError):
            self._answer(answer)

    def do_OPTIONS(self) -> None:
        """A preflight, which is a request too many."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.ingest.came.append(
            Request("OPTIONS", self.path, {}, headers, b"", time.monotonic())
        )
        self._say(_Reply(204, {}, b""), 0)

    def _answer(self, answer: Answer | _Reply) -> None:
        if isinstance(answer, _Reply):
            self._say(answer, 0)
        elif answer == "reset":
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()
        elif answer == "silence":
            self.server.ingest.ended.wait(120)
        elif answer == "cut":
            self._say(_Reply(200, _JSON, b'{"status":"stored"'), missing=100)

    def _say(self, reply: _Reply, missing: int) -> None:
        self.send_response(reply.status)
        for name, value in {**_OPEN, **reply.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body) + missing))
        self.end_headers()
        self.wfile.write(reply.body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def scripted_ingest() -> Iterator[ScriptedIngest]:
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.ingest = ScriptedIngest(server.server_port)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.ingest
        finally:
            server.ingest.ended.set()
            server.shutdown()
            thread.join(10)
