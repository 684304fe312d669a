"""
One request to the API server. kr8s knows who asks, and where: by kubeconfigs, service accounts and
the programs that give out tokens. aiohttp asks: kr8s's own client costs five times the CPU.
"""

import asyncio
import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from kr8s.asyncio import api

_ANSWERED_S = 15.0
_UNAUTHORIZED = 401
_CLIENT = "trackmate"  # as its audit log names it


class NoAnswer(Exception):  # noqa: N818 - what happened
    """Nothing came back, or nothing that can be read."""


class Body(NamedTuple):
    """What is sent, and as what."""

    content: object
    media: str = "application/json"


class Answer(NamedTuple):
    """What came back."""

    code: int
    document: Any
    """None where it is not JSON."""


@dataclass
class _Login:
    """A session of who asks, and how many requests are under way in it."""

    session: aiohttp.ClientSession
    asking: int = 0


class Server:
    """To be closed."""

    def __init__(self, credentials: Any) -> None:
        self._credentials = credentials
        self._login: _Login | None = None
        self._logging_in = asyncio.Lock()

    @classmethod
    async def reached(cls, context: str | None) -> "Server":
        """
        By the kubeconfig of the environment, in the context that is current there or is named, or
        by the pod's service account. Raises what kr8s and its client raise.
        """
        # kr8s would ask the current context, which there may not be, for a namespace
        found: Any = await (api(context=context, namespace="default") if context else api())
        if found._session is not None:  # noqa: SLF001 - kr8s closes it nowhere
            await found._session.aclose()  # noqa: SLF001
        return cls(found.auth)

    @property
    def context(self) -> str:
        """The kubeconfig's; "" by a service account."""
        return str(self._credentials.active_context)

    @property
    def url(self) -> str:
        return str(self._credentials.server)

    async def close(self) -> None:
        if self._login is not None:
            await self._login.session.close()

    async def ask(
        self, method: str, path: str, *, params: Mapping[str, str], body: Body | None
    ) -> Answer:
        """
        `path` from the server's root. Who is not known any more shows what it has now, once: a
        token of a pod is renewed in its file. Raises NoAnswer.
        """
        login = self._login or await self._logged_in(None)
        answer = await self._asked(login, method, path, params, body)
        if answer.code != _UNAUTHORIZED:
            return answer
        login = await self._logged_in(login)
        return await self._asked(login, method, path, params, body)

    async def _logged_in(self, before: _Login | None) -> _Login:
        """What takes the place of the one before; of many that ask, one makes it."""
        async with self._logging_in:
            if self._login is not None and self._login is not before:
                return self._login
            try:
                if before is not None:
                    await self._credentials.reauthenticate()
                tls = await self._credentials.ssl_context()
            except (OSError, ValueError, KeyError) as error:
                raise NoAnswer(f"who asks cannot be told: {error}") from None
            token = self._credentials.token
            shown = {"Authorization": f"Bearer {token.strip()}"} if token else {}
            self._login = _Login(
                aiohttp.ClientSession(
                    base_url=self.url,
                    headers={"User-Agent": _CLIENT, **shown},
                    connector=aiohttp.TCPConnector(ssl=tls),
                    timeout=aiohttp.ClientTimeout(total=_ANSWERED_S),
                    proxy=self._credentials.proxy or _proxy(self.url),
                )
            )
            if before is not None:
                await self._let_go(before)
            return self._login

    async def _let_go(self, login: _Login) -> None:
        """Close the session, if another took its place and nobody waits for an answer in it."""
        if login is not self._login and not login.asking:
            await login.session.close()

    async def _asked(
        self,
        login: _Login,
        method: str,
        path: str,
        params: Mapping[str, str],
        body: Body | None,
    ) -> Answer:
        sent: dict[str, Any] = {}
        if body is not None:
            sent = {"data": json.dumps(body.content), "headers": {"Content-Type": body.media}}
        name = self._credentials.tls_server_name
        login.asking += 1
        try:
            async with login.session.request(
                method, path, params=params, server_hostname=name, **sent
            ) as response:
                return Answer(response.status, _document(await response.read()))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise NoAnswer(str(error) or type(error).__name__) from None
        finally:
            login.asking -= 1
            await self._let_go(login)


def _proxy(url: str) -> str | None:
    """
    Of the environment, as kubectl takes it; asked once a login, where aiohttp would ask for each
    request.
    """
    where = urlsplit(url)
    if proxy_bypass(where.hostname or ""):
        return None
    return getproxies().get(where.scheme)


def _document(body: bytes) -> Any:
    with contextlib.suppress(ValueError):
        return json.loads(body)
    return None
