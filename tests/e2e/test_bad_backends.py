"""
Backends at their worst, behind a real `trackmate dev`: slow, broken, redirecting, with an expired
certificate, or refusing one event for ever. Each holds up its own pipeline at most; what waits is
delivered once it works again, and what it refuses for ever is put aside with its bytes.
"""

import json
import ssl
from base64 import b64decode
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import trustme

from loopback import LOOPBACK
from receiver import Answer, Receiver, Request, receiving
from running import Dev
from waiting_for import wait_until

StartDev = Callable[..., Dev]

SECRET = """\
apiVersion: v1
kind: Secret
metadata: {name: crm, namespace: trackmate-acme}
stringData: {ca: %s}
---
"""
PIPELINE = """\
apiVersion: trackmate.io/v1alpha1
kind: Pipeline
metadata: {{name: {name}, namespace: trackmate-acme}}
spec:
  stream: events
  sink: {{http: {{url: "{url}", timeout: 1s{more}}}}}
  delivery: {{retry: {{for: {retry}}}}}
"""
TRUST = ", tls: {caSecretRef: {name: crm, key: ca}}"

BAD = {
    "late": Answer(after_s=60),
    "drips": Answer(a_byte_every_s=1),
    "fails": Answer(500, body=b"out of order"),
    "busy": Answer(429, {"Retry-After": "1"}),
    "moved": Answer(302, {"Location": "http://127.0.0.1:1/"}),
    "gone": Answer(410),
    "resets": Answer(reset=True),
}
TOLD = {
    "late": "no whole answer within 1 s",
    "drips": "no whole answer within 1 s",
    "fails": "answered 500: out of order",
    "busy": "answered 429",
    "moved": "answered 302: redirects are not followed; write the URL that it leads to",
    "gone": "answered 410: it wants no more events; resume the pipeline when it does again",
    "resets": "the connection was closed before the answer",
    "expired": "its certificate has expired",
}


@dataclass
class Switch:
    """Answers badly until it is mended."""

    bad: Answer
    mended: bool = False
    taken: list[str] = field(default_factory=list)

    def __call__(self, asked: Request) -> Answer:
        if not self.mended:
            return self.bad
        self.taken.append(asked.id)
        return Answer()


def test_a_bad_backend_holds_up_nobody_else_and_loses_nothing(start_dev: StartDev) -> None:
    switches = {name: Switch(answer) for name, answer in BAD.items()} | {
        "expired": Switch(Answer())
    }
    switches["expired"].mended = True
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    yesterday = datetime.now(UTC) - timedelta(days=1)
    authority.issue_cert("127.0.0.1", not_after=yesterday).configure_cert(tls)
    with ExitStack() as stack:
        backends = {
            name: stack.enter_context(receiving(switch, tls=tls if name == "expired" else None))
            for name, switch in switches.items()
        }
        good = stack.enter_context(receiving())
        dev = start_dev()
        declare(dev, backends | {"good": good}, authority)
        post(dev, [{"messageId": f"e-{n}", "anonymousId": f"u-{n % 3}"} for n in range(10)])

        good.wait_for(10)
        wait_until(lambda: told(dev) == TOLD, "each says what is wrong")
        assert {line["dead"] for line in lines(dev).values()} == {0}

        authority.issue_cert("127.0.0.1").configure_cert(tls)
        for switch in switches.values():
            switch.mended = True
        assert dev.command("resume", "acme/gone").returncode == 0
        wait_until(lambda: settled(dev, 10), "all is delivered", seconds=45)
        assert {line["delivered"] for line in lines(dev).values()} == {10}
        assert {name: len(set(switch.taken)) for name, switch in switches.items()} == dict.fromkeys(
            switches, 10
        )
        assert dev.audit()["balanced"]


def test_an_event_that_is_refused_for_ever_costs_its_key_a_moment_and_no_other(
    start_dev: StartDev,
) -> None:
    def refusing(asked: Request) -> Answer:
        return Answer(422, body=b"no such plan") if b"poison" in asked.body else Answer()

    with receiving(refusing) as backend:
        dev = start_dev()
        declare(dev, {"picky": backend}, trustme.CA(), retry="1s")
        post(dev, [event("p", "sick", plan="poison"), event("after", "sick")])
        post(dev, [event(f"h-{n}", f"healthy-{n % 5}") for n in range(50)])
        wait_until(lambda: delivered(backend) >= {f"h-{n}" for n in range(50)}, "others go on")
        more = 0
        while "after" not in delivered(backend):  # the clock of a refusal runs while others go
            go_on(dev, backend, f"m-{more}")
            more += 1

        wait_until(lambda: settled(dev, 52 + more, "picky"), "all is settled")
        [letter] = dev.read("dead-letters", "list", "acme/picky")["letters"]
        assert (letter["reason"], letter["id"]) == ("sink_refused", "p")
        assert "answered 422: no such plan (tried " in letter["detail"]
        assert b64decode(letter["base64"]) == json.dumps(event("p", "sick", plan="poison")).encode()
        sick = [json.loads(r.body)["messageId"] for r in backend.requests if b"sick" in r.body]
        assert sick == ["p"] * letter["attempts"] + ["after"], "its key keeps its order"
        assert dev.audit()["balanced"]


def event(name: str, who: str, **more: str) -> dict[str, str]:
    return {"messageId": name, "anonymousId": who, **more}


def go_on(dev: Dev, backend: Receiver, name: str) -> None:
    """Post one more event, and wait until it is delivered."""
    post(dev, [event(name, "healthy-0")])
    wait_until(lambda: name in delivered(backend), "one more goes")


def delivered(backend: Receiver) -> set[str]:
    bodies = [json.loads(request.body) for request in list(backend.requests)]
    return {body["messageId"] for body in bodies if body.get("plan") != "poison"}


def declare(
    dev: Dev, backends: dict[str, Receiver], authority: trustme.CA, *, retry: str = "72h"
) -> None:
    secret = SECRET % json.dumps(authority.cert_pem.bytes().decode())
    pipelines = [
        PIPELINE.format(
            name=name, url=backend.url, retry=retry, more=TRUST if name == "expired" else ""
        )
        for name, backend in backends.items()
    ]
    (dev.manifests / "pipelines.yaml").write_text(secret + "---\n".join(pipelines))
    wait_until(lambda: lines(dev).keys() >= backends.keys(), "the pipelines run")


def lines(dev: Dev) -> dict[str, Any]:
    found = dev.audit()["pipelines"]
    return {line["name"]: line for line in found if line["name"] != "store"}


def told(dev: Dev) -> dict[str, str]:
    return {name: line["message"] for name, line in lines(dev).items() if line["message"]}


def settled(dev: Dev, events: int, *names: str) -> bool:
    books = lines(dev)
    return all(
        books[name]["accepted"] == events and not books[name]["in_flight"]
        for name in names or books
    )


def post(dev: Dev, events: list[dict[str, str]]) -> None:
    body = b"\n".join(json.dumps(event).encode() for event in events)
    headers = {
        "Authorization": f"Bearer {dev.key('server')}",
        "Content-Type": "application/x-ndjson",
    }
    answer = httpx.post(f"{dev.url}/v1/events", content=body, headers=headers, **LOOPBACK)
    assert answer.status_code == 200, answer.text
