"""
A program for a network and a resolv.conf of its own: hands an event to a public address by https,
then its name comes to mean this machine, then both. Prints what came to the public address, what to
the probe on this machine, and what the sink said.

Run as root by `unshare --net --mount`: nothing of it reaches a real network, and the public address
is this machine's for as long as it runs.
"""

import asyncio
import json
import ssl
import subprocess
import tempfile
from pathlib import Path

import trustme

from handing import event, http_sink, opened
from nameserver import naming
from receiver import Answer, Request, receiving
from trackmate_consume.sink import Down

PUBLIC = "93.184.216.34"
NAME = "hooks.example"


def main() -> None:
    _own_network()
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(NAME).configure_cert(tls)
    turns = [[PUBLIC], ["127.0.0.1"], [PUBLIC, "127.0.0.1"], [PUBLIC, "::1"]]
    with (
        naming({NAME: turns}, at=("127.0.0.1", 53)) as server,
        receiving(_closing, tls=tls, at=(PUBLIC, 443)) as far,
        receiving(tls=tls, at=("127.0.0.1", 443)) as probe,
    ):
        said = asyncio.run(_hand(authority.cert_pem.bytes().decode(), times=len(turns)))
        found = {
            "far": [request.id for request in far.requests],
            "probe": probe.connections,
            "asked": len(server.asked),
            "said": said,
        }
    print(json.dumps(found))


def _closing(request: Request) -> Answer:
    return Answer(headers={"Connection": "close"})


def _own_network() -> None:
    """Loopback, the public address, and the name server."""
    for command in ("ip link set lo up", f"ip addr add {PUBLIC}/32 dev lo"):
        subprocess.run(command.split(), check=True)
    with tempfile.NamedTemporaryFile("w", delete=False) as conf:
        conf.write("nameserver 127.0.0.1\noptions timeout:2 attempts:1\n")
    mount = ["mount", "--bind", conf.name, str(Path("/etc/resolv.conf").resolve())]
    subprocess.run(mount, check=True)


async def _hand(authority: str, *, times: int) -> list[str]:
    """What the sink said to each event; "" where it was delivered."""
    spec = {
        "url": f"https://{NAME}/hooks",
        "timeout": "5s",
        "tls": {"caSecretRef": {"name": "crm", "key": "ca"}},
    }
    said = []
    async with opened(http_sink(spec, secrets={"ca": authority}, allowed=())) as sink:
        for number in range(times):
            try:
                await sink.write([event(f"e-{number}")])
            except Down as fault:
                said.append(str(fault))
            else:
                said.append("")
    return said


if __name__ == "__main__":
    main()
