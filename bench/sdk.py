"""
What the web SDK costs a page, beside the published packages of others in the same run: bytes, and
time of the main thread on a processor slowed down six times.

    PYTHONPATH=tests/harness python bench/sdk.py

Bytes are of the file that each ships minified for a script tag, packed by Node at the highest
level. Time: Chromium, a page of its own for each of five turns, bundles by the same esbuild.
*start* runs the bundle and makes the client; *track* is one call, of 150 in a row: their mean, as
a processor that Chromium slows down rests in slices of milliseconds, and the 99th percentile at
full speed. Timers of the page have 5 µs.
"""

import json
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shutil import copytree, ignore_patterns
from tempfile import TemporaryDirectory
from threading import Thread

from playwright.sync_api import Browser

from browser import chromium, visitor
from javascript import run, workspace
from kafka_parts import load
from run import machine

PEERS = Path(__file__).parent / "sdk_peers"
SLOWER = 6
TURNS = 5
SHIPPED = {
    "Trackmate": "@trackmate/core/dist/trackmate.js",
    "Plausible": "@plausible-analytics/tracker/plausible.js",
    "OpenPanel": "@openpanel/web/dist/src/tracker.global.js",
    "Snowplow": "@snowplow/browser-tracker/dist/index.umd.min.js",
    "Segment": "@segment/analytics-next/dist/umd/standalone.js",
    "Mixpanel": "mixpanel-browser/dist/mixpanel.min.js",
    "Amplitude": "@amplitude/analytics-browser/lib/scripts/amplitude-min.js",
    "PostHog": "posthog-js/dist/array.js",
}
TIMED = ("ours", "mixpanel", "snowplow", "posthog")
PACK = (
    "const z=require('zlib');const b=require('fs').readFileSync(process.argv[1]);"
    "console.log(JSON.stringify([b.length,z.gzipSync(b,{level:9}).length,"
    "z.brotliCompressSync(b).length]))"
)
TIME = """async ({ bundle, endpoint }) => {
  const source = await (await fetch(bundle)).text();
  const script = document.createElement('script');
  script.textContent = source;
  const began = performance.now();
  document.head.append(script);
  const track = begin(endpoint);
  const start = performance.now() - began;
  const calls = [];
  for (let n = 0; n < 150; n++) {
    const properties = { id: 'lis-' + n, price: 690 + n, currency: 'EUR', tags: ['city', 'sea'] };
    const at = performance.now();
    track(properties);
    calls.push(performance.now() - at);
    if (n % 10 === 9) await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return { start, calls };
}"""


def main() -> None:
    print(machine())
    with TemporaryDirectory() as name:
        folder = Path(name)
        copytree(PEERS, folder, ignore=ignore_patterns("node_modules"), dirs_exist_ok=True)
        run(folder, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
        (folder / "node_modules/@trackmate").mkdir()
        (folder / "node_modules/@trackmate/core").symlink_to(workspace() / "core")
        sizes(folder)
        times(folder)
    print(load())


def sizes(folder: Path) -> None:
    print("| script | raw | gzip | brotli | gzip, of ours |\n|---|---|---|---|---|")
    ours = 0
    for name, path in SHIPPED.items():
        raw, packed, brotli = json.loads(run(folder, "node", "-e", PACK, f"node_modules/{path}"))
        ours = ours or packed
        print(f"| {name} | {raw:,} | {packed:,} | {brotli:,} | {packed / ours:.1f} |")
    print()


def times(folder: Path) -> None:
    for name in TIMED:
        bundle = ("--bundle", "--minify", "--format=iife", f"--outfile=out/{name}.js")
        run(folder, "npx", "--no-install", "esbuild", f"{name}.js", *bundle, "--log-level=error")
    print(f"| | start ms, {SLOWER}x slower | track mean ms, {SLOWER}x slower | p99 ms |")
    print("|---|---|---|---|")
    with serving(folder / "out") as url, chromium() as browser:
        for name in TIMED:
            starts, calls = timed(browser, url, name, SLOWER)
            _, quick = timed(browser, url, name, 1)
            p99 = sorted(quick)[int(len(quick) * 0.99)]
            start, mean = statistics.median(starts), statistics.fmean(calls)
            print(f"| {name} | {start:.1f} | {mean:.3f} | {p99:.3f} |")
    print()


def timed(browser: Browser, url: str, name: str, slower: float) -> tuple[list[float], list[float]]:
    starts, calls = [], []
    for _ in range(TURNS):
        with visitor(browser) as context:
            page = context.new_page()
            page.goto(url)
            session = context.new_cdp_session(page)
            session.send("Emulation.setCPUThrottlingRate", {"rate": slower})
            found = page.evaluate(TIME, {"bundle": f"/{name}.js", "endpoint": f"{url}/e"})
            starts.append(found["start"])
            calls += found["calls"]
    return starts, calls


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The bundles on an isolated page, whose clock is finer; and a 200 to all that is sent."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            file = folder / self.path.strip("/")
            found = file.read_bytes() if file.is_file() else b"<!doctype html><title>t</title>"
            self._answer(found, "text/javascript" if file.is_file() else "text/html")

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self._answer(b'{"status":"stored"}', "application/json")

        def _answer(self, body: bytes, kind: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cross-Origin-Opener-Policy", "same-origin")
            self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.handle_error = lambda *_: None  # type: ignore[method-assign] # a page that is gone
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


if __name__ == "__main__":
    main()
