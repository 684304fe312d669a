"""
The package `@trackmate/core` as it is published: small, typed, importable anywhere, and served by
ingest as it is built.
"""

import gzip
import json
from pathlib import Path

import pytest

from javascript import JS, run, workspace
from trackmate_ingest import sdk

pytestmark = [pytest.mark.needs("node"), pytest.mark.timeout(300)]

CORE = JS / "core"
UNITS = sorted(file.name for file in (CORE / "test").glob("*.test.ts"))
BUDGETS = {"trackmate.js": 5 * 1024, "index.js": 4608, "trackmate.stub.js": 512}
"""Bytes, gzipped: script, module, stub."""


@pytest.fixture(scope="module")
def core() -> Path:
    """The package, built."""
    return workspace() / "core"


@pytest.mark.parametrize("file", UNITS)
def test_its_pure_parts_hold(core: Path, file: str) -> None:
    run(core / "test", "node", "run.mjs", file)


@pytest.mark.parametrize(("file", "most"), BUDGETS.items())
def test_a_bundle_stays_within_its_budget(core: Path, file: str, most: int) -> None:
    size = len(gzip.compress((core / "dist" / file).read_bytes(), 9))
    assert size <= most, f"{file} has {size} bytes gzipped, and may have {most}"


def test_types_and_style_are_in_order(core: Path) -> None:
    run(core, "npx", "--no-install", "tsc", "-p", "tsconfig.json")
    run(core, "npx", "--no-install", "tsc", "-p", "test/tsconfig.json")
    run(core.parent, "npx", "--no-install", "biome", "check", ".")


def test_it_is_published_as_its_users_resolve_it(core: Path) -> None:
    run(core, "npx", "--no-install", "publint", "--strict", ".")
    run(core, "npx", "--no-install", "attw", "--pack", ".", "--profile", "esm-only", *_SCRIPTS)


_SCRIPTS = ("--exclude-entrypoints", "./trackmate.js", "./trackmate.stub.js")


def test_the_script_is_what_browsers_of_2017_can_read(core: Path) -> None:
    check = (
        "const { parse } = require('acorn'); const { readFileSync } = require('fs');"
        "parse(readFileSync('dist/trackmate.js', 'utf8'), { ecmaVersion: 2017 });"
        "parse(readFileSync('dist/trackmate.stub.js', 'utf8'), { ecmaVersion: 5 });"
    )
    run(core, "node", "-e", check)


@pytest.mark.parametrize("condition", ["node", "react-server", "workerd", "edge-light", "deno"])
def test_it_may_be_imported_where_there_is_no_page(core: Path, condition: str) -> None:
    program = (
        "import { createTrackmate } from '@trackmate/core';"
        "const t = createTrackmate({ key: 'k', endpoint: 'https://e' });"
        "t.track('A'); t.page(); t.identify(1); t.group(1); t.alias(2); t.reset();"
        "console.log(JSON.stringify([await t.flush(), t.consent()]));"
    )
    said = run(core.parent, "node", "-C", condition, "--input-type=module", "-e", program)
    assert json.loads(said) == [True, "granted"]


def test_even_the_client_of_a_page_may_be_imported_without_one(core: Path) -> None:
    run(core, "node", "--input-type=module", "-e", "import './dist/index.js'")


def test_it_depends_on_nothing(core: Path) -> None:
    assert "dependencies" not in json.loads((core / "package.json").read_text())


def test_ingest_serves_it_as_it_is_built(core: Path) -> None:
    version = json.loads((core / "package.json").read_text())["version"]
    built = (core / "dist/trackmate.js").read_bytes()
    assert sdk.newest().version == version
    assert sdk.newest().content == built, "build it anew for ingest: make sdk"
