"""
Fixtures that every part's tests share, and the account of what was not run.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

import cluster_keeper
from cluster_access import Cluster
from control_plane import ControlPlane, control_plane
from kafka_broker import Cluster as Kafka
from kafka_broker import kafka_brokers
from needs import NEEDS
from operating import SYSTEM
from running import ACME, Dev, serving, start

StartDev = Callable[..., Dev]

if not os.environ.get("CI"):  # there, hypothesis has a profile of its own: the same texts each time
    settings.register_profile("here", deadline=None)
    settings.load_profile("here")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "alone: times something, so nothing else may run beside it")
    config.addinivalue_line(
        "markers", "needs(name, …): what of `needs.NEEDS` the test cannot do without"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for marker in item.iter_markers("needs"):
            for name in marker.args:
                if not NEEDS[name].there():
                    item.add_marker(pytest.mark.skip(reason=NEEDS[name].reason))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    terminalreporter.section("not run here")
    for report in skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        terminalreporter.line(f"{report.nodeid}: {reason}")
    if not skipped:
        terminalreporter.line("Nothing: every test was run.")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI a test that was not run is a failure: what it needs is to be installed."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    if skipped and os.environ.get("CI") and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture
def start_dev(tmp_path: Path) -> Iterator[StartDev]:
    """Starts `trackmate dev` processes; whatever still runs at the end is stopped."""
    started: list[Dev] = []

    def begin(*arguments: str, manifest: str = ACME, prefix: tuple[str, ...] = ()) -> Dev:
        folder = tmp_path / "affiliates"
        folder.mkdir(exist_ok=True)
        if not any(folder.iterdir()):
            (folder / "acme.yaml").write_text(manifest, "utf-8")
        started.append(start(tmp_path, *arguments, prefix=prefix))
        return started[-1]

    yield begin
    for dev in started:
        if dev.process.poll() is None:
            dev.kill()


@pytest.fixture(scope="session")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    """One instance that many tests share: each finds its own events by their ids."""
    with serving(tmp_path_factory.mktemp("shared"), ACME) as running:
        yield running


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """
    The run's one Kubernetes, shared by all of its processes: each test makes its own namespaces and
    Affiliates in it. Who stops it, or has an operator that sees everything, takes a
    `control_plane()` of its own. Needs `cluster`.
    """
    folder, run = tmp_path_factory.getbasetemp(), os.getpid()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder, run = folder.parent, os.getppid()
    return cluster_keeper.keep(folder / "cluster", run)


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    """A module's own Kubernetes with the custom resources: an operator sees all that is in it."""
    with control_plane(audited=True) as plane:
        plane.install_crds()
        plane.kubectl("create", "namespace", SYSTEM)
        yield plane


@pytest.fixture(scope="module")
def kafka() -> Iterator[Kafka]:
    """A module's own Kafka, which asks for a login and for rights."""
    with kafka_brokers(secured=True) as brokers:
        yield brokers


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a module's operator: its settings, and a root secret that lives through restarts."""
    return tmp_path_factory.mktemp("operator")
