"""
Example apps as visitors see them: in a real Chromium, on a website of their own, against a real
instance.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from browser import chromium, complaints, visitor
from running import Dev
from web_apps import OpenApp, Visit, site
from web_gateway import web_gateway


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def open_app(browser: Browser, dev: Dev) -> Iterator[OpenApp]:
    """
    Serves a built app and opens a path of it, for somebody new. No page may complain, and no event
    may cost a preflight.
    """
    with ExitStack() as opened:
        heard: list[list[str]] = []
        gateway = opened.enter_context(web_gateway(dev.url))

        def begin(app: Path, path: str) -> Visit:
            url = opened.enter_context(site(app, dev.key("web"), gateway.url))
            page = opened.enter_context(visitor(browser)).new_page()
            heard.append(complaints(page))
            page.goto(url + path)
            return Visit(page, dev, url)

        yield begin
        assert [complaint for of_page in heard for complaint in of_page] == []
        assert gateway.methods.keys() == {"POST"}
