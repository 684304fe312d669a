"""
The adapter of the web SDK: docs/sdk-contract.md, for the built core in a page of a real Chromium
whose clock stands still until it is told to go on.

All of it is one thread, because Playwright belongs to the thread that started it: the protocol is
answered one request after the other. The page comes from a server of its own.
"""

import json
import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Error, Page

from browser import chromium
from javascript import workspace

_PAGE = b"""<!doctype html><title>Contract</title><script type="module">
import { createTrackmate } from '/index.js';
const state = { dropped: 0, reasons: {}, paused: false };
const onDrop = ({ reason, count }) => {
  state.dropped += count;
  state.reasons[reason] = (state.reasons[reason] || 0) + count;
};
const onPause = () => { state.paused = true };
const lines = ([name, value]) => name.includes(':q:') ? value.split('\\n').slice(1) : [];
let client;
window.adapter = {
  init(options) { client = createTrackmate({ pages: false, onDrop, onPause, ...options }) },
  track: ({ event, properties }) => client.track(event, properties),
  page: ({ name, properties }) => client.page(name, properties),
  identify: ({ userId, traits }) => client.identify(userId, traits),
  group: ({ groupId, traits }) => client.group(groupId, traits),
  alias: ({ userId, previousId }) => client.alias(userId, previousId),
  reset: () => client.reset(),
  consent: ({ decided }) => ({ consent: client.consent(decided) }),
  async flush() {
    let empty = null;
    state.paused = false;
    client.flush().then((said) => { empty = said });
    await settled();
    await turn();
    return { empty };
  },
  background() {
    for (const value of ['hidden', 'visible']) {
      Object.defineProperty(document, 'visibilityState', { value, configurable: true });
      document.dispatchEvent(new Event('visibilitychange'));
    }
  },
  state() {
    const queued = Object.entries(localStorage).flatMap(lines).filter(Boolean).length;
    return { ...state, queued };
  },
};
</script>"""

_REAL = "{ const real = setTimeout; window.realTimeout = (run, ms) => real.call(window, run, ms) }"
"""Comes before the clock is taken over: only time shows that a request is never answered."""

_WATCH = """{
  let flying = 0, given_up = 0, waiting = [];
  const go = () => { waiting.forEach((resolve) => resolve()); waiting = [] };
  window.turn = () => new Promise((resolve) => { // a task later, when whoever waited has gone on
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => { port1.close(); resolve() };
    port2.postMessage(0);
  });
  const landed = () => turn().then(() => {
    flying--;
    given_up = Math.min(given_up, flying);
    if (flying <= given_up) go();
  });
  const fetching = window.fetch.bind(window);
  window.fetch = async (...given) => {
    flying++;
    try {
      const response = await fetching(...given);
      const text = response.text.bind(response);
      response.text = () => text().finally(() => { landed() });
      return response;
    } catch (fault) { landed(); throw fault }
  };
  const locking = navigator.locks.request.bind(navigator.locks);
  navigator.locks.request = (...given) => {
    flying++;
    return locking(...given).finally(() => { landed() });
  };
  window.settled = () => new Promise((resolve) => {
    if (flying <= given_up) return resolve();
    waiting.push(resolve);
    realTimeout(() => {
      if (!waiting.includes(resolve)) return;
      given_up = flying;
      go();
    }, 5000);
  });
  const due = new Map();
  const set = window.setTimeout, clear = window.clearTimeout;
  window.setTimeout = (run, ms, ...rest) => {
    const whole = Math.ceil(ms || 0); // else this clock, as no other, shows parts of milliseconds
    const timer = set(() => { due.delete(timer); run(...rest) }, whole);
    due.set(timer, performance.now() + whole);
    return timer;
  };
  window.clearTimeout = (timer) => { due.delete(timer); clear(timer) };
  window.next = () => due.size ? Math.min(...due.values()) - performance.now() : null;
}"""
"""Knows when requests have their answers, and when the next timer is due. Once for each page."""


_START_MS = 1000
"""A start takes time: no two apps of a device live in the same millisecond."""


class _WebSdk:
    """A device is a browser context, a start of the app is a load of its page."""

    def __init__(self, browser: Browser, url: str) -> None:
        self._browser, self._url = browser, url
        self._device: BrowserContext | None = None
        self._app: Page | None = None

    def init(self, options: Any) -> None:
        if self._app is None:
            self.restart({"device": True})
        self._call("init", options)

    def restart(self, how: Any) -> None:
        if how.get("device"):
            self._renew()
        elif how.get("killed"):
            self._kill()
        else:
            self._page.reload()
        self._page.wait_for_function("window.adapter")
        self._page.clock.run_for(_START_MS)

    def advance(self, by: Any) -> None:
        """From one timer to the next, so that an answer comes before what happens after it."""
        left = by["ms"]
        while left > 0:
            due = self._page.evaluate("settled().then(next)")
            step = left if due is None else min(left, max(1, math.ceil(due)))
            self._page.clock.run_for(step)
            left -= step
        self._page.evaluate("settled()")

    def call(self, name: str, body: Any) -> Any:
        if name in ("init", "restart", "advance"):
            return getattr(self, name)(body)
        return self._call(name, body)

    @property
    def _page(self) -> Page:
        assert self._app is not None, "no init yet"
        return self._app

    def _call(self, name: str, body: Any) -> Any:
        return self._page.evaluate("([name, body]) => adapter[name](body)", [name, body])

    def _renew(self) -> None:
        if self._device is not None:
            self._device.close()
        self._device = self._browser.new_context()
        self._device.add_init_script(_REAL)
        self._device.clock.install()
        self._device.add_init_script(_WATCH)
        self._open()
        self._device.clock.pause_at(self._page.evaluate("Date.now()") / 1000 + 1)

    def _kill(self) -> None:
        with suppress(Error):
            self._page.goto("chrome://crash")
        self._page.close()
        self._open()

    def _open(self) -> None:
        assert self._device is not None
        self._app = self._device.new_page()
        self._app.goto(self._url)


class _Pages(BaseHTTPRequestHandler):
    index: Path

    def do_GET(self) -> None:
        module = self.path == "/index.js"
        self.send_response(200)
        self.send_header("Content-Type", "text/javascript" if module else "text/html")
        self.end_headers()
        self.wfile.write(self.index.read_bytes() if module else _PAGE)

    def log_message(self, *_: object) -> None:
        """Nothing."""


class _Protocol(BaseHTTPRequestHandler):
    sdk: _WebSdk

    def do_GET(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            said, status = self.sdk.call(self.path.strip("/"), json.loads(body or b"{}")), 200
        except (AssertionError, Error) as fault:
            said, status = {"fault": str(fault)}, 500
        text = json.dumps(said or {}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Nothing."""


def _run(started: Callable[[HTTPServer], None]) -> None:
    pages = type("Pages", (_Pages,), {"index": workspace() / "core/dist/index.js"})
    with ThreadingHTTPServer(("127.0.0.1", 0), pages) as site, chromium() as browser:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        sdk = _WebSdk(browser, f"http://localhost:{site.server_port}/")
        with HTTPServer(("127.0.0.1", 0), type("Protocol", (_Protocol,), {"sdk": sdk})) as server:
            started(server)
            server.serve_forever(poll_interval=0.05)
        site.shutdown()


@contextmanager
def web_sdk_adapter() -> Iterator[str]:
    """Its address."""
    found: list[HTTPServer] = []
    ready = threading.Event()

    def started(server: HTTPServer) -> None:
        found.append(server)
        ready.set()

    thread = threading.Thread(target=_run, args=(started,))
    thread.start()
    try:
        assert ready.wait(120), "the adapter listens"
        yield f"http://127.0.0.1:{found[0].server_port}"
    finally:
        for server in found:
            server.shutdown()
        thread.join(30)
