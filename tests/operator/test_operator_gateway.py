"""
The operator behind a gateway that refuses, dawdles, or lets its watches fall silent: it converges,
deletes nothing, and does not run into a storm of its own.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from api_gateway import Gateway, gateway
from control_plane import ControlPlane
from kafka_broker import Cluster
from operating import Operating, operating, ready
from tenants import affiliate
from waiting_for import wait_until

pytestmark = [pytest.mark.needs("cluster"), pytest.mark.needs("kafka"), pytest.mark.timeout(300)]


@pytest.fixture
def between(plane: ControlPlane) -> Iterator[Gateway]:
    with gateway(plane) as found:
        yield found


@pytest.fixture
def operator(
    plane: ControlPlane, kafka: Cluster, home: Path, between: Gateway, tmp_path: Path
) -> Iterator[Operating]:
    """Without a resync: what it does not hear of, it does not see."""
    way = between.kubeconfig(tmp_path)
    with operating(home, plane, kafka, as_=way, resync="1h") as running:
        wait_until(lambda: bool(running.said("leading")), "it leads", seconds=60)
        yield running


def has(plane: ControlPlane, name: str, kind: str, one: str) -> bool:
    return plane.tried("get", kind, one, "-n", f"trackmate-{name}").returncode == 0


def test_a_server_that_refuses_is_asked_again_ever_later_and_then_all_is_made(
    plane: ControlPlane, operator: Operating, between: Gateway
) -> None:
    plane.apply(affiliate("before"))
    ready(plane, "before")
    between.refuses = True
    plane.apply(affiliate("during"))
    wait_until(lambda: len(operator.said("look failed")) >= 3, "it was tried again", seconds=60)
    failed = operator.said("look failed")
    assert "Too many requests" in failed[-1]["fault"]
    assert len(failed) < 20, "it does not hammer on a server that is asking for rest"
    between.refuses = False
    assert between.refused > 0
    assert has(plane, "before", "secret", "before-keys")
    ready(plane, "during")


def test_a_slow_server_is_waited_for(
    plane: ControlPlane, operator: Operating, between: Gateway
) -> None:
    between.late_s = 1.0
    plane.apply(affiliate("slow"))
    wait_until(lambda: has(plane, "slow", "configmap", "trackmate-ingest"), "made", seconds=120)
    between.late_s = 0.0
    ready(plane, "slow")


def test_a_watch_that_fell_silent_is_begun_again_and_what_it_missed_is_seen(
    plane: ControlPlane, operator: Operating, between: Gateway
) -> None:
    plane.apply(affiliate("unheard"))
    ready(plane, "unheard")
    between.silence()
    plane.kubectl("delete", "configmap", "trackmate-ingest", "-n", "trackmate-unheard")
    plane.apply(affiliate("afterwards"))
    wait_until(lambda: between.held_back > 0, "the fault bit")
    assert not has(plane, "unheard", "configmap", "trackmate-ingest")
    wait_until(
        lambda: has(plane, "unheard", "configmap", "trackmate-ingest"),
        "the watch is given up and begun again",
        seconds=200,
    )
    ready(plane, "afterwards")
