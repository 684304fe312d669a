"""
`@trackmate/vue`, in the example app: the router's navigations are its page views.
"""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from javascript import run, workspace
from running import Dev
from web_apps import OpenApp, packed_size

pytestmark = [pytest.mark.needs("node"), pytest.mark.timeout(300)]

IN_BROWSER = pytest.mark.needs("chromium")


@pytest.fixture(scope="module")
def package() -> Path:
    """The folder of the package, built."""
    return workspace() / "vue"


@pytest.fixture(scope="module")
def app(package: Path) -> Path:
    """The example, built, with vue-router 5."""
    return package.parent / "examples/vue/dist"


@pytest.fixture(scope="module")
def app_of_router_4(package: Path, app: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    built = tmp_path_factory.mktemp("app")
    config = package / "test/router-4.config.mjs"
    example = package.parent / "examples/vue"
    run(example, "npx", "vite", "build", "--config", str(config), "--outDir", str(built))
    assert scripts(built) != scripts(app)
    return built


def scripts(built: Path) -> list[bytes]:
    return [script.read_bytes() for script in sorted(built.glob("assets/*.js"))]


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
@pytest.mark.parametrize("built", ["app", "app_of_router_4"])
def test_each_navigation_is_one_page_view(
    open_app: OpenApp, request: pytest.FixtureRequest, built: str
) -> None:
    visit = open_app(request.getfixturevalue(built), "/")
    walk(visit.page)
    assert visit.events("identify") == [
        "page /",
        "page /offers/porto",
        "page /offers/lisbon",
        "page /offers/porto",
        "identify",
    ]


@IN_BROWSER
def test_a_page_view_has_the_title_of_its_page_and_the_name_of_its_route(
    open_app: OpenApp, app: Path
) -> None:
    visit = open_app(app, "/")
    walk(visit.page)
    views = [event for event in visit.log("identify") if event["type"] == "page"]
    assert [(view["name"], view["context"]["page"]["title"]) for view in views] == [
        ("Offers", "Offers"),
        ("Offer", "A week in Porto"),
        ("Offer", "Four days in Lisbon"),
        ("Offer", "A week in Porto"),
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


@pytest.mark.parametrize("condition", ["node", "browser"])
def test_on_a_server_it_renders_and_sends_nothing(dev: Dev, package: Path, condition: str) -> None:
    before = dev.settle()["accepted"]
    command = ("node", f"--conditions={condition}", "test/render.mjs", dev.url, dev.key("server"))
    assert run(package, *command) == "<button>Book it</button>true\n"
    assert dev.settle()["accepted"] == before


def test_it_takes_at_most_a_kilobyte(package: Path) -> None:
    assert packed_size(package / "dist/index.js") <= 1024


def test_it_is_published_as_its_users_resolve_it(package: Path) -> None:
    run(package, "npx", "--no-install", "publint", "--strict", ".")
    run(package, "npx", "--no-install", "attw", "--pack", ".", "--profile", "esm-only")


def test_its_types_take_what_there_is_alone(package: Path) -> None:
    run(package, "npx", "--no-install", "tsc", "-p", "test")
