"""
A name server whose answers change: each question about a name gets the next answer of its list, and
the last one for ever. Every answer lives for 0 seconds.

It speaks DNS over UDP. `asking` asks it in the place of the system's resolver; in `rebinding.py`
the system's own resolver does.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from ipaddress import ip_address
from socketserver import BaseRequestHandler, ThreadingUDPServer
from threading import Lock, Thread

from dnslib import AAAA, QTYPE, RCODE, RR, A, DNSRecord

Addresses = Sequence[str]


class NameServer:
    """Its answers, and what it was asked."""

    def __init__(self, answers: Mapping[str, Sequence[Addresses]]) -> None:
        """By name, the addresses of the first answer, of the second, and so on."""
        self.port = 0
        self.asked: list[str] = []
        """Names, once for each resolution: questions for AAAA belong to the one for A before."""
        self._answers = {name: list(turns) for name, turns in answers.items()}
        self._now: dict[str, Addresses] = {}
        self._lock = Lock()

    def answer(self, question: DNSRecord) -> DNSRecord:
        name, kind = str(question.q.qname).rstrip("."), QTYPE[question.q.qtype]
        reply = question.reply()
        addresses = self._turn(name, kind)
        if addresses is None:
            reply.header.rcode = RCODE.NXDOMAIN
        for address in addresses or ():
            if (":" in address) == (kind == "AAAA"):
                packed = tuple(ip_address(address).packed)
                data = AAAA(packed) if kind == "AAAA" else A(packed)
                reply.add_answer(RR(name, question.q.qtype, rdata=data, ttl=0))
        return reply

    def _turn(self, name: str, kind: str) -> Addresses | None:
        with self._lock:
            if name not in self._answers:
                return None
            if kind == "A":
                self.asked.append(name)
                turns = self._answers[name]
                self._now[name] = turns.pop(0) if len(turns) > 1 else turns[0]
            return self._now.get(name, self._answers[name][0])


@contextmanager
def naming(
    answers: Mapping[str, Sequence[Addresses]], *, at: tuple[str, int] = ("127.0.0.1", 0)
) -> Iterator[NameServer]:
    """Run a name server."""
    server = NameServer(answers)

    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            packet, back = self.request
            reply = server.answer(DNSRecord.parse(packet))
            back.sendto(reply.pack(), self.client_address)

    with ThreadingUDPServer(at, Handler) as listener:
        server.port = listener.server_address[1]
        thread = Thread(target=listener.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            listener.shutdown()
            thread.join()


def asking(server: NameServer) -> Callable[[str], Awaitable[Addresses]]:
    """What looks names up at this server alone, by one question for A and one for AAAA."""

    def ask(host: str) -> Addresses:
        found: list[str] = []
        for kind in ("A", "AAAA"):
            packet = DNSRecord.question(host, kind).send("127.0.0.1", server.port, timeout=5)
            found += [str(one.rdata) for one in DNSRecord.parse(packet).rr]
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return found

    return lambda host: asyncio.to_thread(ask, host)
