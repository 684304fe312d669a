"""
A real Firefox, without a window, in the words of WebDriver BiDi (https://w3c.github.io/webdriver-bidi).

Playwright cannot: its `moz-firefox` asks a release of Firefox for what that does not know.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from subprocess import Popen
from typing import Any

from websockets.sync.client import ClientConnection, connect

from other_browsers import Refused
from processes import cmdline, group, kill, kill_group
from waiting_for import wait_until

FIREFOX = "/usr/bin/firefox-esr"

_ANSWER_S = 60


class Firefox:
    def __init__(self, process: Popen[bytes], socket: ClientConnection) -> None:
        self._process = process
        self._socket = socket
        self._asked = 0
        self.ask("session.new", capabilities={})
        self._first = self._contexts()

    def ask(self, method: str, **params: Any) -> Any:
        """One command, and its result."""
        self._asked += 1
        self._socket.send(json.dumps({"id": self._asked, "method": method, "params": params}))
        answer = json.loads(self._socket.recv(timeout=_ANSWER_S))
        assert answer["id"] == self._asked, answer  # there are no events: none is subscribed to
        if answer["type"] == "error":
            raise Refused(f"{method}: {answer['error']}: {answer['message']}")
        return answer["result"]

    def tab(self) -> "FirefoxTab":
        return FirefoxTab(self, self.ask("browsingContext.create", type="tab")["context"])

    def close_tabs(self) -> None:
        for context in self._contexts() - self._first:
            self.ask("browsingContext.close", context=context)

    def kill_pages(self) -> None:
        """kill -9 of the processes in which pages live. The browser stays."""
        for pid in group(self._process.pid):
            if "-isForBrowser" in cmdline(pid):
                kill(pid)

    def end(self) -> None:
        """As a user does."""
        self.ask("browser.close")
        self._process.wait(_ANSWER_S)

    def kill(self) -> None:
        """kill -9 of all its processes at once."""
        kill_group(self._process)

    def _contexts(self) -> set[str]:
        return {one["context"] for one in self.ask("browsingContext.getTree")["contexts"]}


class FirefoxTab:
    def __init__(self, browser: Firefox, context: str) -> None:
        self._browser = browser
        self._context = context

    def evaluate(self, expression: str) -> Any:
        text = f"(async () => JSON.stringify([await ({expression})]))()"
        target = {"context": self._context}
        said = self._browser.ask(
            "script.evaluate", expression=text, target=target, awaitPromise=True
        )
        if said["type"] == "exception":
            raise Refused(f"{expression}: {said['exceptionDetails']['text']}")
        return json.loads(said["result"]["value"])[0]

    def goto(self, url: str) -> None:
        self._ask("navigate", url=url, wait="complete")

    def reload(self) -> None:
        self._ask("reload", wait="complete")

    def back(self) -> None:
        self._ask("traverseHistory", delta=-1)

    def forward(self) -> None:
        self._ask("traverseHistory", delta=1)

    def close(self) -> None:
        self._ask("close")

    def _ask(self, verb: str, **params: Any) -> None:
        self._browser.ask(f"browsingContext.{verb}", context=self._context, **params)


@contextmanager
def firefox(profile: Path, *, storage: bool = True) -> Iterator[Firefox]:
    profile.mkdir(exist_ok=True)
    wished = {"dom.storage.enabled": storage, "network.proxy.type": 0}
    lines = [f'user_pref("{name}", {json.dumps(value)});' for name, value in wished.items()]
    (profile / "user.js").write_text("\n".join(lines), "utf-8")
    told = profile / "WebDriverBiDiServer.json"
    told.unlink(missing_ok=True)
    arguments = ["--headless", "--no-remote", "--remote-debugging-port=0"]
    with (profile / "firefox.log").open("ab") as log:
        process = Popen(
            [FIREFOX, *arguments, "--profile", str(profile)],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        wait_until(lambda: _port(told), "Firefox listens", seconds=_ANSWER_S)
        with connect(f"ws://127.0.0.1:{_port(told)}/session", proxy=None) as socket:
            yield Firefox(process, socket)
    finally:
        kill_group(process)


def lengths_on_disk(profile: Path) -> set[int]:
    """
    Of all values of localStorage that would survive the browser, in UTF-16 units. What is read
    while a journal is there is not yet so: it is taken back when the browser dies.
    """
    found: set[int] = set()
    for file in profile.glob("storage/default/*/ls/data.sqlite"):
        with (
            suppress(sqlite3.Error),  # Firefox is just writing
            closing(sqlite3.connect(f"file:{file}?mode=ro&immutable=1", uri=True)) as base,
        ):
            lengths = {length for (length,) in base.execute("SELECT utf16_length FROM data")}
            if not file.with_name(f"{file.name}-journal").exists():
                found |= lengths
    return found


def _port(told: Path) -> int:
    """0 until it is known."""
    with suppress(FileNotFoundError, ValueError):
        return int(json.loads(told.read_text("utf-8"))["ws_port"])
    return 0
