"""
`@trackmate/react`, in the example app as a development build, where StrictMode mounts all twice.
"""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from javascript import run, workspace
from running import Dev
from web_apps import OpenApp, packed_size

pytestmark = [pytest.mark.needs("node"), pytest.mark.timeout(300)]

IN_BROWSER = pytest.mark.needs("chromium")
WATCHED = """
window.observers = 0;
window.IntersectionObserver = class extends IntersectionObserver {
  observe(element) {
    window.observers += 1;
    super.observe(element);
  }
};
undefined
"""


@pytest.fixture(scope="module")
def package() -> Path:
    """The folder of the package, built."""
    return workspace() / "react"


@pytest.fixture(scope="module")
def app(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example as a development build: StrictMode does nothing in another."""
    return development_build(package, tmp_path_factory.mktemp("app"))


@pytest.fixture(scope="module")
def app_of_react_18(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = str(package.parent / "examples/react-18/vite.config.mjs")
    built = development_build(package, tmp_path_factory.mktemp("app"), "--config", config)
    (script,) = built.glob("assets/*.js")
    assert "18.3.1" in script.read_text("utf-8")
    return built


def development_build(package: Path, built: Path, *options: str) -> Path:
    example = package.parent / "examples/react"
    command = ("env", "NODE_ENV=development", "npx", "vite", "build", "--outDir", str(built))
    run(example, *command, *options)
    return built


@IN_BROWSER
@pytest.mark.parametrize("built", ["app", "app_of_react_18"])
def test_each_navigation_is_one_page_view(
    open_app: OpenApp, request: pytest.FixtureRequest, built: str
) -> None:
    visit = open_app(request.getfixturevalue(built), "/")
    page = visit.page
    page.get_by_role("link", name="A week in Porto").click()
    page.get_by_role("link", name="This week's offer").click()
    expect(page.get_by_role("heading", name="Lisbon")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("heading", name="Porto")).to_be_visible()
    page.get_by_role("button", name="Sign in").click()
    assert visit.events("identify") == [
        "page /",
        "page /offers/porto",
        "page /offers/lisbon",
        "page /offers/porto",
        "identify",
    ]


@IN_BROWSER
def test_a_redirect_is_one_page_view_where_it_ends(open_app: OpenApp, app: Path) -> None:
    visit = open_app(app, "/lisbon")
    visit.page.get_by_role("button", name="Sign in").click()
    assert visit.events("identify") == ["page /offers/lisbon", "identify"]


@IN_BROWSER
def test_a_click_is_one_event(open_app: OpenApp, app: Path) -> None:
    visit = open_app(app, "/offers/porto")
    visit.page.get_by_role("button", name="Book it").click()
    visit.page.get_by_role("button", name="Sign in").click()
    assert visit.events("identify") == [
        "page /offers/porto",
        'Offer Booked {"id": "porto", "price": 940}',
        "identify",
    ]


@IN_BROWSER
@pytest.mark.parametrize("built", ["app", "app_of_react_18"])
def test_what_comes_into_view_is_one_event(
    open_app: OpenApp, request: pytest.FixtureRequest, built: str
) -> None:
    visit = open_app(request.getfixturevalue(built), "/")
    page = visit.page
    page.evaluate(WATCHED)
    page.get_by_role("link", name="A week in Porto").click()
    for _ in range(2):
        page.get_by_text("940 euros").scroll_into_view_if_needed()
        page.get_by_role("button", name="Book it").scroll_into_view_if_needed()
    page.get_by_role("button", name="Sign in").click()
    assert page.evaluate("window.observers") == 2, "StrictMode mounts nothing twice"
    assert visit.events("identify") == [
        "page /",
        "page /offers/porto",
        'Offer Shown {"id": "porto"}',
        "identify",
    ]


@pytest.mark.parametrize("condition", ["node", "browser"])
def test_on_a_server_it_renders_and_sends_nothing(dev: Dev, package: Path, condition: str) -> None:
    before = dev.settle()["accepted"]
    command = ("node", f"--conditions={condition}", "test/render.mjs", dev.url, dev.key("server"))
    assert run(package, *command) == "<main><div>Porto</div></main>true\n"
    assert dev.settle()["accepted"] == before


def test_its_parts_take_at_most_a_kilobyte(package: Path) -> None:
    sizes = {file.name: packed_size(file) for file in (package / "dist").glob("*.js")}
    assert sizes.keys() == {"index.js", "server.js"}
    assert max(sizes.values()) <= 1024, sizes


def test_it_is_published_as_its_users_resolve_it(package: Path) -> None:
    run(package, "npx", "--no-install", "publint", "--strict", ".")
    run(package, "npx", "--no-install", "attw", "--pack", ".", "--profile", "esm-only")


def test_its_types_take_the_events_of_a_site_alone(package: Path) -> None:
    run(package, "npx", "--no-install", "tsc", "-p", "test")
    run(package.parent / "examples/react", "npx", "--no-install", "tsc")


def test_a_server_component_hands_it_to_the_browser(package: Path) -> None:
    """Its components are the browser's there, and its hooks do nothing."""
    stream = run(package, "node", "--conditions=react-server", "test/components.mjs")
    assert "dist/index.js#TrackmateProvider" in stream
    assert "dist/index.js#TrackOnView" in stream
    assert '{"options":{"key":"tmw_k","endpoint":"https://acme.example"},"children":["$",' in stream
