"""
Secrets are at the backend and in the YAML, and nowhere else: not in the log, status, errors, plan,
metrics, dead letters, the console's API or the data folder, however the backend behaves and
whatever it repeats.
"""

import base64
import json
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from loopback import LOOPBACK
from receiver import Answer, Receiver, Request, receiving
from running import ACME, Dev
from waiting_for import wait_until
from wire import exchange, request

StartDev = Callable[..., Dev]

QUERY, INLINE, BEARER, UNUSED = (
    "canary-query-1f",
    "canary-inline-2e",
    "canary-bearer-3d",
    "canary-4c",
)
SIGNING = "whsec_" + base64.b64encode(b"canary-signing-secret-5b").decode()

SECRETS = """\
apiVersion: v1
kind: Secret
metadata: {{name: crm, namespace: trackmate-acme}}
stringData:
  bearer: Bearer {bearer}
  signing: {signing}
  unused: {unused}
  ca: {ca}
"""
PIPELINE = """\
apiVersion: trackmate.io/v1alpha1
kind: Pipeline
metadata: {{name: {name}, namespace: trackmate-acme}}
spec:
  stream: events
  sink:
    http:
      url: "{url}?token={query}"
      headers:
        - {{name: authorization, valueFrom: {{secretKeyRef: {{name: crm, key: bearer}}}}}}
        - {{name: x-inline, value: {inline}}}
      signing: {{secretRef: {{name: crm, key: signing}}}}
      tls: {{caSecretRef: {{name: crm, key: ca}}}}
  delivery: {{retry: {{for: 1s}}}}
"""
FAULTY = f"""\
apiVersion: v1
kind: Secret
metadata: {{name: other, namespace: trackmate-acme}}
stringData: {UNUSED}
---
{PIPELINE.format(name="faulty", url="ftp://crm.example/", query=QUERY, inline=f'"{INLINE} "')}
---
{PIPELINE.format(name="unfit", url="http://[::zz]/", query=QUERY, inline=INLINE)}
"""


def repeating(status: int, **headers: str) -> Callable[[Request], Answer]:
    """Repeats all that it was sent, and answers so to what says that it is bad, or to all."""

    def answer(asked: Request) -> Answer:
        if status == 400 and b'"bad"' not in asked.body:
            return Answer()
        said = json.dumps([asked.path, *asked.headers.values(), asked.body.decode()])
        return Answer(status, {**headers, "X-Said": asked.path}, said.encode())

    return answer


BACKENDS = {
    "ok": repeating(200),
    "refuse": repeating(400),
    "down": repeating(500),
    "busy": repeating(429),
    "gone": repeating(410),
    "moved": repeating(302, Location=f"https://127.0.0.1/?token={QUERY}"),
    "broken": lambda _: Answer(raw=b"HTTP/9.9 canary nonsense\r\n\r\n"),
}


@pytest.fixture
def backends() -> Iterator[dict[str, Receiver]]:
    with ExitStack() as stack:
        yield {name: stack.enter_context(receiving(does)) for name, does in BACKENDS.items()}


def test_no_secret_is_anywhere_but_at_the_backend(
    start_dev: StartDev, backends: dict[str, Receiver]
) -> None:
    authority, other = trustme.CA(), trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    other.issue_cert("127.0.0.1").configure_cert(tls)
    with receiving(tls=tls) as untrusted:
        dev = start_dev()
        urls = {name: f"{backend.url}/hook" for name, backend in backends.items()}
        urls |= {"cert": f"{untrusted.url}/", "dns": "https://nowhere.invalid/"}
        urls |= {"closed": "http://127.0.0.1:1/"}
        declare(dev, urls, authority)
        wait_until(lambda: len(lines(dev)) == len(urls) + 1, "all pipelines run")
        keys = [dev.key("web"), dev.key("server")]
        post(dev, keys)
        wait_until(lambda: all_met(dev, urls), "each met its backend", seconds=40)
        check_backend(backends["ok"])

        secret = [QUERY, INLINE, BEARER, UNUSED, SIGNING.removeprefix("whsec_")]
        secret += authority.cert_pem.bytes().decode().splitlines()[1:3]
        found = {
            (where, text)
            for where, said in everything(dev, list(urls)).items()
            for text in secret
            if text in said
        }
        assert found == set()
        logged = "".join(line for line in dev.log.splitlines() if line.startswith("{"))
        assert not [key for key in keys if key in logged]


def declare(dev: Dev, urls: dict[str, str], authority: trustme.CA) -> None:
    ca = json.dumps(authority.cert_pem.bytes().decode())
    secrets = SECRETS.format(bearer=BEARER, signing=SIGNING, unused=UNUSED, ca=ca)
    manifests = [
        PIPELINE.format(name=f"to-{name}", url=url, query=QUERY, inline=INLINE)
        for name, url in urls.items()
    ]
    (dev.manifests / "pipelines.yaml").write_text("---\n".join([secrets, *manifests]))


def post(dev: Dev, keys: list[str]) -> None:
    """With the browser's key and then the server's in the address; only the first is taken."""
    events = [b'{"messageId":"1","event":"good"}', b'{"messageId":"2","event":"bad"}']
    origin = "Origin: https://www.acme.example"
    for event in [*events, b'{"messageId":"3","event":"good"}']:
        sent = exchange(dev, request(f"/v1/events?key={keys[0]}", origin, body=event))
        assert sent.status == 200, sent.body
        sent = exchange(dev, request(f"/v1/events?key={keys[1]}", body=event))
        assert sent.status == 401
    exchange(dev, request(f"/v1/events?key={keys[0]}&x=%zz", "Origin: http://evil.example"))
    exchange(dev, request(f"/v1/nowhere?key={keys[1]}"))


def lines(dev: Dev) -> dict[str, Any]:
    return {line["name"]: line for line in dev.audit()["pipelines"]}


def all_met(dev: Dev, urls: dict[str, str]) -> bool:
    books = lines(dev)
    reasons = {name: books[f"to-{name}"]["reason"] for name in urls}
    expected = dict.fromkeys(urls, "SinkDown") | {"gone": "Paused", "ok": "Running"}
    return reasons | {"refuse": ""} == expected | {"refuse": ""} and (
        books["to-refuse"]["dead_letters"] == 1
    )


def check_backend(backend: Receiver) -> None:
    asked = backend.requests[0]
    assert asked.path == f"/hook?token={QUERY}"
    assert asked.headers["authorization"] == f"Bearer {BEARER}"
    assert asked.headers["x-inline"] == INLINE
    assert asked.headers["webhook-signature"].startswith("v1,")


def everything(dev: Dev, names: list[str]) -> dict[str, str]:
    """All that the product says or keeps, by where."""
    elsewhere = dev.home / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "faulty.yaml").write_text(FAULTY)
    (elsewhere / "acme.yaml").write_text(ACME)
    changed = (dev.manifests / "pipelines.yaml").read_text()
    changed = changed.replace(QUERY, QUERY + "-new").replace(
        f"value: {INLINE}", f"value: {INLINE}9"
    )
    (elsewhere / "pipelines.yaml").write_text(changed)
    commands = [
        *(["status"], ["status", "acme"], ["audit", "acme"], ["doctor"]),
        *(["plan", "-f", str(where)] for where in (dev.manifests, elsewhere)),
        ["dead-letters", "list", "acme/to-refuse"],
        ["dead-letters", "show", "acme/to-refuse", "1"],
    ]
    said = {}
    for command in commands:
        for more in ([], ["--json"]):
            done = dev.command(*command, *more)
            said[" ".join([*command, *more])] = (done.stdout + done.stderr).decode()
    (dev.manifests / "faulty.yaml").write_text(FAULTY)
    wait_until(lambda: "faulty.yaml:" in dev.log, "the fault is said")
    assert "~ Pipeline acme/to-ok" in said[f"plan -f {elsewhere}"]
    assert "answered 400: " in said["dead-letters show acme/to-refuse 1"]
    paths = ["/api/affiliates", "/api/affiliates/acme", "/api/manifests", "/", "/demo"]
    paths += [f"/api/affiliates/acme/pipelines/to-{name}/dead-letters" for name in names]
    paths += ["/api/affiliates/acme/figures", "/api/affiliates/acme/records", "/nowhere?token=x"]
    with httpx.Client(**LOOPBACK) as client:
        said |= {path: client.get(dev.url + path).text for path in paths}
        said["metrics"] = client.get(dev.metrics_url).text
    said["log"] = dev.log
    said |= {str(file): kept(file) for file in (dev.home / ".trackmate").rglob("*")}
    return said


def kept(file: Path) -> str:
    return file.read_bytes().decode("latin-1") if file.is_file() else ""
