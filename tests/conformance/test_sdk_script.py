"""
The web SDK from the affiliate's own host: a page needs no other, and can hold it to its digest.
"""

import gzip
from base64 import b64encode
from hashlib import sha384

import httpx
import pytest

from loopback import LOOPBACK
from running import Dev
from trackmate_ingest import sdk


def got(dev: Dev, path: str, **headers: str) -> httpx.Response:
    with httpx.Client(**LOOPBACK) as client:
        return client.get(f"{dev.url}{path}", headers={"Accept-Encoding": "identity", **headers})


def test_the_newest_script_is_served_to_any_page_and_kept_for_an_hour(dev: Dev) -> None:
    answer = got(dev, "/trackmate.js", Origin="https://www.acme.example")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["cache-control"] == "public, max-age=3600"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    assert answer.content == sdk.newest().content


def test_a_version_stays_as_it_is_and_fits_its_digest(dev: Dev) -> None:
    newest = sdk.newest()
    answer = got(dev, newest.path)
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    digest = b64encode(sha384(answer.content).digest()).decode()
    assert newest.integrity == f"sha384-{digest}"


def test_it_is_sent_packed_to_whoever_takes_that(dev: Dev) -> None:
    with (
        httpx.Client(**LOOPBACK) as client,
        client.stream(
            "GET", f"{dev.url}/trackmate.js", headers={"Accept-Encoding": "br, gzip"}
        ) as a,
    ):
        assert a.headers["content-encoding"] == "gzip"
        assert "accept-encoding" in a.headers["vary"].lower()
        assert gzip.decompress(b"".join(a.iter_raw())) == sdk.newest().content


def test_who_has_it_already_is_told_so(dev: Dev) -> None:
    etag = got(dev, "/trackmate.js").headers["etag"]
    again = got(dev, "/trackmate.js", **{"If-None-Match": etag})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("version", ["9.9.9", "..%2f..%2fsdk", "0.1.0.js.map"])
def test_a_version_that_is_not_there_says_which_are(dev: Dev, version: str) -> None:
    answer = got(dev, f"/trackmate-{version}.js")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_the_refusal_names_the_versions(dev: Dev) -> None:
    assert sdk.newest().version in got(dev, "/trackmate-9.9.9.js").json()["detail"]
