"""
A real WebKit, that of WebKitGTK in its MiniBrowser, in the words of classic WebDriver
(https://www.w3.org/TR/webdriver2), on a display that nobody sees.

A browser that its driver started keeps nothing on disk, so none begins with another's profile; and
the session ends when the process of a page does, so no page can be seen to die. A tab here is a
window of its own: tabs open behind the one that is seen, and nothing brings them forward.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import DEVNULL, Popen
from typing import Any

import httpx

from loopback import LOOPBACK
from other_browsers import Refused
from ports import free_port
from processes import kill_group
from waiting_for import wait_until

DRIVER = "/usr/bin/WebKitWebDriver"
DISPLAY = "/usr/bin/Xvfb"

_ANSWER_S = 60
_RUN = """const done = arguments[0];
(async () => ({ value: await (%s) }))()
  .catch((error) => ({ error: String(error) }))
  .then((said) => done(JSON.stringify(said)))"""


class WebKit:
    def __init__(self, client: httpx.Client, options: Any) -> None:
        self._client = client
        self._session = ""
        wished = {"alwaysMatch": {"webkitgtk:browserOptions": options}}
        self._session = self.ask("POST", "", capabilities=wished)["sessionId"]
        [self._first] = self.ask("GET", "/window/handles")

    def ask(self, method: str, path: str, **body: Any) -> Any:
        """One command, and its value."""
        url = f"/session/{self._session}{path}".rstrip("/")
        content = json.dumps(body) if method == "POST" else None
        answer = self._client.request(method, url, content=content)
        value = answer.json()["value"]
        if not answer.is_success:
            raise Refused(f"{path}: {value['error']}: {value['message']}")
        return value

    def tab(self) -> "WebKitTab":
        self.ask("POST", "/window", handle=self._first)  # the one before may have been closed
        return WebKitTab(self, self.ask("POST", "/window/new", type="window")["handle"])

    def close_tabs(self) -> None:
        for handle in self.ask("GET", "/window/handles"):
            if handle != self._first:
                WebKitTab(self, handle).close()


class WebKitTab:
    def __init__(self, browser: WebKit, handle: str) -> None:
        self._browser = browser
        self._handle = handle

    def evaluate(self, expression: str) -> Any:
        said = json.loads(self._ask("POST", "/execute/async", script=_RUN % expression, args=[]))
        if "error" in said:
            raise Refused(f"{expression}: {said['error']}")
        return said.get("value")

    def goto(self, url: str) -> None:
        self._ask("POST", "/url", url=url)

    def reload(self) -> None:
        self._ask("POST", "/refresh")

    def back(self) -> None:
        self._ask("POST", "/back")

    def forward(self) -> None:
        self._ask("POST", "/forward")

    def close(self) -> None:
        self._ask("DELETE", "/window")

    def _ask(self, method: str, path: str, **body: Any) -> Any:
        self._browser.ask("POST", "/window", handle=self._handle)
        return self._browser.ask(method, path, **body)


@contextmanager
def webkit(profile: Path, *, storage: bool = True) -> Iterator[WebKit]:
    homes = {f"XDG_{kind}_HOME": str(profile / kind) for kind in ("CACHE", "CONFIG", "DATA")}
    [binary] = Path("/usr/lib").glob("*/webkit2gtk-4.1/MiniBrowser")
    arguments = ["--automation", f"--enable-html5-local-storage={json.dumps(storage)}"]
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with (
        _display() as display,
        httpx.Client(base_url=url, timeout=_ANSWER_S, **LOOPBACK) as client,
    ):
        process = Popen(
            [DRIVER, f"--port={port}"],
            env={**os.environ, **homes, "DISPLAY": display},
            stdout=DEVNULL,
            stderr=DEVNULL,
            start_new_session=True,
        )
        try:
            wait_until(lambda: _ready(client), "WebKit's driver listens")
            yield WebKit(client, {"binary": str(binary), "args": arguments})
        finally:
            kill_group(process)


@contextmanager
def _display() -> Iterator[str]:
    told, tells = os.pipe()
    with Popen(
        [DISPLAY, "-displayfd", str(tells), "-nolisten", "tcp"],
        pass_fds=[tells],
        stderr=DEVNULL,
        start_new_session=True,
    ) as process:
        os.close(tells)
        with os.fdopen(told) as said:
            number = said.readline().strip()
        try:
            yield f":{number}"
        finally:
            process.terminate()  # it takes its socket away


def _ready(client: httpx.Client) -> bool:
    with suppress(httpx.TransportError):
        return bool(client.get("/status").json()["value"]["ready"])
    return False
