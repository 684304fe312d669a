"""
`@trackmate/angular`, in the example app, without zone.js and with it.
"""

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from angular_workspace import angular
from javascript import run
from running import Dev
from web_apps import OpenApp

pytestmark = [pytest.mark.needs("node"), pytest.mark.timeout(600)]

IN_BROWSER = pytest.mark.needs("chromium")

COUNTED = """
window.looks = 0;
ng.ɵsetProfiler((event) => { window.looks += event === 12; });
undefined
"""


@pytest.fixture(scope="module")
def package() -> Path:
    """The folder of the package, with all that is built of it."""
    return angular()


@pytest.fixture(params=["zoneless", "zoned"])
def app(request: pytest.FixtureRequest, package: Path) -> Path:
    """The example, built."""
    return package / "example/dist" / str(request.param)


def walk(page: Page) -> None:
    """Through pages, by links, a redirect, an anchor, a closed door, and back."""
    page.get_by_role("link", name="A week in Porto").click()
    page.get_by_role("link", name="Terms").click()
    page.get_by_role("link", name="Last week's offer").click()
    page.get_by_role("link", name="This week's offer").click()
    expect(page.get_by_role("heading", name="Lisbon")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("heading", name="Porto")).to_be_visible()
    page.get_by_role("button", name="Sign in").click()


@IN_BROWSER
def test_each_navigation_is_one_page_view_with_its_title(open_app: OpenApp, app: Path) -> None:
    visit = open_app(app, "/")
    walk(visit.page)
    assert visit.events("identify") == [
        "page /",
        "page /offers/porto",
        "page /offers/lisbon",
        "page /offers/porto",
        "identify",
    ]
    assert visit.titles("identify") == [
        "Offers",
        "A week in Porto",
        "Four days in Lisbon",
        "A week in Porto",
    ]


@IN_BROWSER
def test_a_redirect_at_the_start_is_one_page_view_where_it_ends(
    open_app: OpenApp, app: Path
) -> None:
    visit = open_app(app, "/lisbon")
    visit.page.get_by_role("button", name="Sign in").click()
    assert visit.events("identify") == ["page /offers/lisbon", "identify"]


@IN_BROWSER
def test_coming_back_from_the_browsers_cache_is_a_page_view(open_app: OpenApp, app: Path) -> None:
    visit = open_app(app, "/")
    page = visit.page
    expect(page.get_by_role("heading", name="Offers")).to_be_visible()
    page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
    page.get_by_role("button", name="Sign in").click()
    assert visit.events("identify") == ["page /", "page /", "identify"]


@IN_BROWSER
def test_a_click_is_one_event_with_what_is_true_by_then(open_app: OpenApp, app: Path) -> None:
    visit = open_app(app, "/offers/porto")
    page = visit.page
    page.get_by_role("button", name="I like it").click()
    page.get_by_role("button", name="Book it").click()
    page.get_by_role("link", name="This week's offer").click()
    expect(page.get_by_role("heading", name="Lisbon")).to_be_visible()
    page.get_by_role("button", name="Book it").click()
    page.get_by_role("button", name="Sign in").click()
    assert visit.events("identify") == [
        "page /offers/porto",
        'Offer Liked {"id": "porto"}',
        'Offer Booked {"id": "porto", "price": 940}',
        "page /offers/lisbon",
        'Offer Booked {"id": "lisbon", "price": 690}',
        "identify",
    ]


@IN_BROWSER
def test_nothing_of_it_makes_angular_look_at_the_app(open_app: OpenApp, package: Path) -> None:
    """With zone.js, where each timer, listener and answer would; from the click to the answer."""
    visit = open_app(package / "example/dist/zoned", "/offers/porto")
    page = visit.page
    page.evaluate(COUNTED)
    with page.expect_request_finished(lambda request: "/v1/events" in request.url):
        page.get_by_role("button", name="Book it").click()
    visit.log("track")
    assert page.evaluate("window.looks") == 0
    page.get_by_role("button", name="I like it").click()
    assert page.evaluate("window.looks") > 0, "looks are not counted"


@pytest.mark.parametrize("condition", ["node", "browser"])
def test_on_a_server_it_renders_and_sends_nothing(dev: Dev, package: Path, condition: str) -> None:
    before = dev.settle()["accepted"]
    command = ("node", f"--conditions={condition}", "test/render.mjs", dev.url, dev.key("server"))
    assert "<button>Book it</button> true\n" in run(package, *command)
    assert dev.settle()["accepted"] == before


def test_it_adds_at_most_a_kilobyte_to_an_app(package: Path) -> None:
    assert int(run(package, "node", "test/size.mjs")) <= 1024


def test_it_is_published_as_its_users_resolve_it(package: Path) -> None:
    run(package, "npx", "--no-install", "publint", "--strict", "dist")
    manifest = json.loads((package / "dist/package.json").read_text("utf-8"))
    assert not {"dependencies", "devDependencies", "scripts"} & manifest.keys()


def test_it_is_built_by_the_oldest_angular_in_the_form_that_newer_ones_link(package: Path) -> None:
    """Partial compilation, which Angular promises to link in all later versions."""
    (module,) = (package / "dist/fesm2022").glob("*.mjs")
    versions = re.findall(r'version: "([^"]+)", ngImport', module.read_text("utf-8"))
    assert versions
    assert {version.split(".")[0] for version in versions} == {"20"}


def test_its_types_take_what_there_is_alone(package: Path) -> None:
    run(package, "npx", "--no-install", "tsc", "-p", "tsconfig.example.json", "--noEmit")
