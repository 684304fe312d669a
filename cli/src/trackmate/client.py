"""
How the command line talks to a running instance, and what it says when it cannot.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, cast

import httpx

from trackmate.dev.address import Address
from trackmate.errors import Declined, NoInstance
from trackmate_contract.names import NAME


class Client:
    """The console's API of one instance."""

    on_cluster: Literal[False] = False

    def __init__(self, address: Address) -> None:
        self.address = address
        self.http = httpx.Client(base_url=address.url, timeout=30, trust_env=False)

    @property
    def said(self) -> str:
        """Which Trackmate it is."""
        return f"The embedded instance at {self.address.url}"

    def affiliates(self, only: str | None = None) -> dict[str, Any]:
        found = cast("dict[str, Any]", self._ask("GET", "/api/affiliates"))
        named = [one for one in found["affiliates"] if only in {None, one["name"]}]
        if only is not None and not named:
            raise Declined(f"No affiliate {only!r} runs here.")
        return {**found, "affiliates": named}

    def affiliate(self, name: str) -> dict[str, Any]:
        return cast("dict[str, Any]", self._ask("GET", f"/api/affiliates/{_named(name)}"))

    def manifests(self) -> list[dict[str, Any]]:
        """What is declared and runs: kind, name, file and spec."""
        return cast("list[dict[str, Any]]", self._ask("GET", "/api/manifests"))

    def pipeline(self, name: str, part: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask, or with a body tell, a part of a pipeline, named as `affiliate/pipeline`."""
        affiliate, pipeline = _pipeline_named(name)
        path = f"/api/affiliates/{affiliate}/pipelines/{pipeline}/{part}"
        method = "GET" if body is None else "POST"
        return cast("dict[str, Any]", self._ask(method, path, json=body))

    def pause(self, name: str, reason: str) -> dict[str, Any]:
        return self.pipeline(name, "pause", {"reason": reason})

    def resume(self, name: str) -> dict[str, Any]:
        return self.pipeline(name, "resume", {})

    def keys(self, affiliate: str) -> list[dict[str, Any]]:
        return cast("list[dict[str, Any]]", self.affiliate(affiliate)["keys"])

    def snippet(self, affiliate: str, *, pinned: bool) -> str | None:
        """What to paste into a page; None without a browser key that works now."""
        name = "pinnedSnippet" if pinned else "snippet"
        return cast("str | None", self.affiliate(affiliate)[name])

    def create_key(self, affiliate: str, wanted: dict[str, Any]) -> list[dict[str, Any]]:
        return self._change_keys(affiliate, "keys", wanted)

    def rotate_key(self, affiliate: str, key: str, grace: str) -> list[dict[str, Any]]:
        return self._change_keys(affiliate, f"keys/{key}/rotate", {"grace": grace})

    def revoke_key(self, affiliate: str, key: str) -> list[dict[str, Any]]:
        return self._change_keys(affiliate, f"keys/{key}/revoke")

    def _change_keys(
        self, name: str, path: str, body: dict[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        answer = self._ask("POST", f"/api/affiliates/{_named(name)}/{path}", json=body)
        return cast("list[dict[str, Any]]", answer)

    @contextmanager
    def records(self, name: str, **wanted: Any) -> Iterator[Iterator[str]]:
        """The lines of `/api/affiliates/{name}/records`, as they come."""
        path = f"/api/affiliates/{_named(name)}/records"
        with self.http.stream("GET", path, params=wanted, timeout=None) as response:
            if response.is_error:
                response.read()
                raise Declined(_detail(response))
            yield response.iter_lines()

    def _ask(self, method: str, path: str, **more: Any) -> Any:
        response = self.http.request(method, path, **more)
        if response.is_error:
            raise Declined(_detail(response))
        return response.json()


@contextmanager
def connected() -> Iterator[Client]:
    """The instance of the current folder. Raises NoInstance."""
    address = Address.read()
    if address is None:
        raise NoInstance("No Trackmate runs in this folder. Start one here: trackmate dev")
    client = Client(address)
    try:
        yield client
    except httpx.TransportError:
        raise NoInstance(
            f"The instance at {address.url} (process {address.pid}) no longer answers. "
            "Start it again in this folder: trackmate dev"
        ) from None
    finally:
        client.http.close()


def _named(name: str) -> str:
    if not re.fullmatch(NAME, name):
        raise Declined(f"{name!r} is no affiliate's name. See those there are: trackmate status")
    return name


def _pipeline_named(name: str) -> tuple[str, str]:
    affiliate, slash, pipeline = name.partition("/")
    if not slash or not re.fullmatch(NAME, pipeline):
        raise Declined(
            f"{name!r} is no pipeline's name. Write AFFILIATE/PIPELINE, like 'acme/store'. "
            "See those there are: trackmate status"
        )
    return _named(affiliate), pipeline


def _detail(response: httpx.Response) -> str:
    try:
        detail = response.json()["detail"]
    except (ValueError, KeyError, TypeError):
        return f"The instance answered {response.status_code}."
    if isinstance(detail, list):  # FastAPI's list of faults in a request
        return "; ".join(f"{fault['loc'][-1]}: {fault['msg']}" for fault in detail)
    return str(detail)
