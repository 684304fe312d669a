"""
A stand-in for the server of `trackmate dev`, to develop the pages against and to test them: the
same routes, headers and shapes, with figures that tests may set.

    .venv/bin/python tests/cli/console_standin.py 8080

Its limits: a body is a JSON array without spaces between its events, or one event; no key is
checked; the record's id is the body's `messageId`; nothing is stored, so a ledger is what it was
last told to be plus what came since. `/stand-in/…` is how a test speaks to it and is no part of
the API.
"""

import base64
import json
import mimetypes
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import sha256
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from queue import Queue
from typing import Any
from urllib.parse import parse_qs, urlsplit

from trackmate_ingest import sdk

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'"
)
PAGES = files("trackmate") / "pages"
KEY = 'tm_web_7Kq2mZ"&<'
"""The demo's key holds what HTML must escape, so that a page that does not is seen."""

COUNTS = ("delivered", "duplicates", "conflicts", "filtered", "dead", "expired", "in_flight")
MINUTE_MS = 60_000

Json = Any


def affiliate(name: str, endpoint: str) -> Json:
    key = f"tm_web_{name}_4f9c2a71d0"
    return {
        "name": name,
        "displayName": {"acme": "Acme Travel"}.get(name),
        "endpoint": endpoint,
        "streams": ["events"],
        "keys": [
            {
                "name": "web",
                "key": key,
                "use": "Browser",
                "created": "2026-11-01T08:00:00Z",
                "expires": None,
                "origins": ["https://www.acme.example"],
            },
            {
                "name": "server",
                "key": f"tm_srv_{name}_93be01aa57",
                "use": "Server",
                "created": None,
                "expires": None,
                "origins": [],
            },
        ],
        "snippet": f'<script async src="{endpoint}/trackmate.js" data-key="{key}"></script>',
        "curl": f"curl '{endpoint}/v1/events?key={key}' "
        "-H 'Content-Type: application/json' -d '{\"event\":\"Hello\"}'",
        "ledger": {
            "accepted": 0,
            "pipelines": [pipeline("store")],
            "balanced": True,
            "faults": [],
        },
    }


def pipeline(name: str) -> Json:
    return {
        "name": name,
        **dict.fromkeys(COUNTS, 0),
        "documents": 0,
        "lag_seconds": 0.0,
        "reasons": [],
        "last_error": "",
        "ready": True,
        "reason": "Running",
        "message": "",
        "settled": 0,
        "stream": None,
        "sink": name,
        "dead_letters": 0,
        "replay": None,
    }


class Desk:
    """All that the stand-in knows. Tests replace parts of it over `/stand-in/…`."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.listeners: list[tuple[str, Queue[bytes | None]]] = []
        names = ("acme", "globex")
        self.affiliates = {name: affiliate(name, endpoint) for name in names}
        self.figures: dict[str, Json] = {name: {"minutes": [], "top": []} for name in names}
        self.faults: list[Json] = []
        self.notices: list[str] = []
        self.received: list[Json] = []
        self.answers: list[Json] = []
        self.asked = 0
        self.away = False
        self.offset = 0

    def overview(self) -> Json:
        self.asked += 1
        listed = list(self.affiliates.values())
        return {"affiliates": listed, "faults": self.faults, "notices": self.notices}

    def accept(self, name: str, value: bytes) -> None:
        ledger = self.affiliates[name]["ledger"]
        ledger["accepted"] += 1
        ledger["pipelines"][0]["delivered"] += 1
        ledger["pipelines"][0]["documents"] += 1
        self.tell(name, f"data: {json.dumps(self.record(value))}\n\n")

    def record(self, value: bytes) -> Json:
        self.offset += 1
        return {
            "stream": "events",
            "partition": 0,
            "offset": self.offset,
            "id": _message_id(value) or f"made-{self.offset}",
            "received": int(time.time() * 1000),
            "key": "web",
            "type": None,
            "size": len(value),
            "sha256": sha256(value).hexdigest(),
            "base64": base64.b64encode(value).decode(),
        }

    def tell(self, name: str, frame: str) -> None:
        for listened, queue in list(self.listeners):
            if listened == name:
                queue.put(frame.encode())

    def hang_up(self) -> None:
        for _, queue in self.listeners:
            queue.put(None)


def _message_id(value: bytes) -> str | None:
    try:
        event = json.loads(value)
    except ValueError:
        return None
    found = event.get("messageId") if isinstance(event, dict) else None
    return found if isinstance(found, str) else None


def _events(body: str) -> Iterator[str]:
    """The texts of an array, or the one text."""
    if not body.startswith("["):
        yield body
        return
    at = 1
    while body[at] != "]":
        end = json.JSONDecoder().raw_decode(body, at)[1]
        yield body[at:end]
        at = end + (body[end] == ",")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits 40 ms for a delayed ACK
    desk: Desk

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the base's own name)
        """Say nothing."""

    def do_GET(self) -> None:
        route = urlsplit(self.path).path
        if route.startswith("/api/"):
            self.get_api(route.split("/")[2:])
        elif route == "/stand-in/state":
            self.json({"received": self.desk.received, "asked": self.desk.asked})
        else:
            self.get_page(route)

    def get_api(self, parts: list[str]) -> None:
        if self.desk.away:
            self.answer(503, b"", "text/plain")
        elif parts == ["affiliates"]:
            self.json(self.desk.overview())
        elif parts[2:] == ["figures"]:
            self.json(self.desk.figures[parts[1]])
        else:
            self.live(parts[1])

    def live(self, name: str) -> None:
        queue: Queue[bytes | None] = Queue()
        self.desk.listeners.append((name, queue))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        try:
            while (frame := queue.get()) is not None:
                self.wfile.write(frame)
        except OSError:
            pass  # the page went away
        self.desk.listeners.remove((name, queue))
        self.close_connection = True

    def get_page(self, route: str) -> None:
        if route == "/trackmate.js":
            self.answer(200, sdk.newest().content, "text/javascript")
            return
        asset = route.removeprefix("/pages/")
        named = {"/": "console.html", "/demo": "demo.html"}.get(route, asset)
        page = PAGES.joinpath(*named.split("/"))
        if ".." in named or not page.is_file():
            self.answer(404, b"", "text/plain")
            return
        content = page.read_text()
        if named == "demo.html":
            content = content.replace("{{key}}", escape(KEY))
        self.answer(200, content.encode(), mimetypes.guess_type(named)[0] or "text/plain")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        asked = urlsplit(self.path)
        if asked.path == "/v1/events":
            self.ingest(body, parse_qs(asked.query))
        else:
            self.control(asked.path.removeprefix("/stand-in/"), json.loads(body or b"null"))
            self.json({})

    def ingest(self, body: bytes, query: dict[str, list[str]]) -> None:
        desk = self.desk
        scripted: Json = desk.answers.pop(0) if desk.answers else {"status": 200}
        events = [*_events(body.decode())]
        for event in events:
            desk.received.append(
                {
                    "key": query.get("key", [None])[0],
                    "type": self.headers.get("Content-Type"),
                    "body": event,
                }
            )
            if scripted["status"] == 200:
                desk.accept("acme", event.encode())
        kind, said = "application/json", {"status": "stored", "events": len(events)}
        if scripted["status"] != 200:
            kind = "application/problem+json"
            said = {"type": "urn:trackmate:problem:malformed", "status": scripted["status"]}
        content = json.dumps(said).encode()
        self.answer(scripted["status"], content, kind, scripted.get("headers", {}))

    def control(self, what: str, told: Json) -> None:
        desk = self.desk
        controls: dict[str, Callable[[], object]] = {
            "set": lambda: vars(desk).update(told),
            "ledger": lambda: desk.affiliates["acme"].update(ledger=told),
            "event": lambda: desk.accept(told["affiliate"], base64.b64decode(told["base64"])),
            "frame": lambda: desk.tell("acme", told),
            "hang-up": desk.hang_up,
        }
        controls[what]()

    def json(self, content: Json) -> None:
        self.answer(200, json.dumps(content).encode(), "application/json")

    def answer(
        self, status: int, body: bytes, kind: str, headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", CSP)
        self.send_header("X-Content-Type-Options", "nosniff")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        with suppress(ConnectionError):  # the page that asked may be gone
            self.end_headers()
            self.wfile.write(body)


def main(port: int) -> None:
    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        server.daemon_threads = True
        endpoint = f"http://127.0.0.1:{server.server_port}"
        Handler.desk = Desk(endpoint)
        print(endpoint, flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
