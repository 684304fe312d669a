"""
A browser and a page for tests that look at an instance as people do.
"""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from browser import chromium, complaints, visitor


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that ends without a complaint, and on which no event's text ran."""
    with visitor(browser) as context:
        page = context.new_page()
        heard = complaints(page)
        yield page
        assert heard == []
        assert page.evaluate("window.hacked") is None
