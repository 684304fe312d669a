"""
Built apps as visitors meet them: each on a website of its own, with the key and the address of a
real instance in place of those that the settings of the examples name, and what the log then has.
"""

import gzip
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from mimetypes import guess_type
from pathlib import Path
from threading import Thread
from typing import Any

from playwright.sync_api import Page

from ports import free_port
from running import Dev
from waiting_for import wait_until

KEY, ENDPOINT = b"tmw_your-key", b"https://acme.track.example.com"  # of the examples' settings


def packed_size(file: Path) -> int:
    """Of a file, in bytes, as `gzip -9` makes it."""
    return len(gzip.compress(file.read_bytes(), 9, mtime=0))


@contextmanager
def site(app: Path, key: str, endpoint: str) -> Iterator[str]:
    """
    The address of a website of its own with a built app: paths without a file are the app's. No two
    have the same, since the log knows a visit by it.
    """
    settings = {KEY: key.encode(), ENDPOINT: endpoint.encode()}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = app / self.path.split("?", 1)[0].lstrip("/")
            file = asked if asked.is_file() else app / "index.html"
            body = file.read_bytes()
            for name, value in settings.items():
                body = body.replace(name, value)
            self.send_response(200)
            self.send_header("Content-Type", guess_type(file.name)[0] or "text/plain")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as it is called
            pass

    with ThreadingHTTPServer(("127.0.0.1", free_port()), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class Visit:
    """A page of an app, and what the log has of it."""

    def __init__(self, page: Page, dev: Dev, url: str) -> None:
        self.page = page
        self.url = url
        self._dev = dev

    def log(self, last: str) -> list[Any]:
        """The log's events of the visit in their order, once the store has one of type `last`."""
        ours, kind = f'"url":"{self.url}/'.encode(), f'"type":"{last}"'.encode()
        wait_until(
            lambda: any(ours in one and kind in one for one in self._dev.documents().values()),
            f"an event of type {last} in the store",
        )
        return [json.loads(one.value) for one in self._dev.tail() if ours in one.value]

    def events(self, last: str) -> list[str]:
        """The same, a line each."""
        return [_told(event) for event in self.log(last)]

    def titles(self, last: str) -> list[str]:
        """Of the pages that were viewed."""
        return [one["context"]["page"]["title"] for one in self.log(last) if one["type"] == "page"]


OpenApp = Callable[[Path, str], Visit]


def _told(event: dict[str, Any]) -> str:
    """A line about an event, for tests to compare."""
    if event["type"] == "page":
        page = event["context"]["page"]
        return f"page {page['path']}{page['search']}"
    if event["type"] == "track":
        return f"{event['event']} {json.dumps(event.get('properties', {}))}"
    return str(event["type"])
