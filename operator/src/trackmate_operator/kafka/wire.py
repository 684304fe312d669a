"""
One connection to a broker, for what librdkafka does not do safely, or at all: its
DescribeUserScramCredentials ends the process where the user has no right to it, its DescribeAcls
then says that there are none, and it has no client quotas.

Every broker answers these, and passes on to the controller what is the controller's.
"""

import asyncio
import logging
import ssl
from collections.abc import Awaitable
from typing import Any

from aiokafka.conn import create_conn
from aiokafka.errors import KafkaConnectionError

from trackmate_programs.kafka_access import Access
from trackmate_programs.kafka_reach import tls_context

_ASKED_MS = 10_000

logging.getLogger("aiokafka").setLevel(logging.WARNING)  # it tells of each login, and at DEBUG more


class Wire:
    """Raises what aiokafka, ssl and sockets raise."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._connection: Any = None
        self._connecting = asyncio.Lock()

    async def ask(self, request: Any) -> Any:
        """The answer. What is asked may be asked twice: a connection may have ended unseen."""
        try:
            return await self._asked(request)
        except KafkaConnectionError:
            return await self._asked(request)

    async def _asked(self, request: Any) -> Any:
        connection = await self._connected()
        try:
            return await connection.send(_Ready(request))
        except TimeoutError:  # what comes next would wait behind it
            self.close()
            raise

    async def _connected(self) -> Any:
        async with self._connecting:
            if self._connection is None or not self._connection.connected():
                self.close()
                self._connection = await self._connect()
            return self._connection

    async def _connect(self) -> Any:
        kafka = self._access.kafka
        context = None if kafka.tls is None else await asyncio.to_thread(tls_context, kafka.tls)
        *others, last = kafka.bootstrap_servers.split(",")
        for server in others:
            try:
                return await self._connect_to(server, context)
            except (OSError, TimeoutError, KafkaConnectionError):
                continue
        return await self._connect_to(last, context)

    async def _connect_to(self, server: str, context: ssl.SSLContext | None) -> Any:
        host, _, port = server.rpartition(":")
        user, password = self._access.login or (None, None)
        sasl = self._access.kafka.sasl
        return await create_conn(
            host,
            int(port),
            client_id=self._access.client["client.id"],
            request_timeout_ms=_ASKED_MS,
            ssl_context=context,
            security_protocol=self._access.client["security.protocol"],
            sasl_mechanism=sasl.mechanism if sasl else None,
            sasl_plain_username=user,
            sasl_plain_password=password,
        )

    async def closed(self) -> None:
        """Returns once the socket is."""
        closing = self.close()
        if closing is not None:
            await closing

    def close(self) -> Awaitable[None] | None:
        """What to wait for, for who wants to see the end of it."""
        if self._connection is not None:
            closing: Awaitable[None] = self._connection.close()
            self._connection = None
            return closing
        return None


class _Ready:
    """A request in the one version that we speak."""

    def __init__(self, request: Any) -> None:
        self._request = request

    def prepare(self, versions: Any) -> Any:
        return self._request
