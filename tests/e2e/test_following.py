"""
`trackmate dev` follows its folder: adding, changing and removing a YAML file takes effect within
two seconds, faults are shown and leave the running state alone, and removal retains data.
"""

import time
from collections.abc import Callable

import httpx
import pytest

from loopback import LOOPBACK
from running import ACME, Dev

pytestmark = pytest.mark.alone

StartDev = Callable[..., Dev]
WITHIN = 2.0  # seconds

GLOBEX = """\
apiVersion: trackmate.io/v1alpha1
kind: Affiliate
metadata: {name: globex}
spec: {}
"""


def names(dev: Dev) -> set[str]:
    return {affiliate["name"] for affiliate in state(dev)["affiliates"]}


def state(dev: Dev) -> dict[str, list[dict[str, str]]]:
    with httpx.Client(base_url=dev.url, **LOOPBACK) as http:
        found: dict[str, list[dict[str, str]]] = http.get("/api/affiliates").json()
        return found


def soon(condition: Callable[[], bool]) -> bool:
    """Whether it becomes true within the promised time."""
    deadline = time.monotonic() + WITHIN
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def send(dev: Dev, key: str, event: str = "{}") -> int:
    with httpx.Client(base_url=dev.url, **LOOPBACK) as http:
        headers = {"x-trackmate-key": key, "content-type": "application/json"}
        return http.post("/v1/events", content=event, headers=headers).status_code


def test_a_new_file_makes_an_affiliate(start_dev: StartDev) -> None:
    dev = start_dev()
    (dev.manifests / "globex.yaml").write_text(GLOBEX, "utf-8")

    assert soon(lambda: names(dev) == {"acme", "globex"})
    assert send(dev, dev.key("web", "globex")) == 200


def test_a_changed_file_changes_the_affiliate(start_dev: StartDev) -> None:
    dev = start_dev()
    key = dev.key("server")
    assert send(dev, key) == 200
    small = ACME.replace("limits: {", "limits: {eventBytes: 1Ki, bodyBytes: 1Ki, ")
    (dev.manifests / "acme.yaml").write_text(small, "utf-8")

    assert soon(lambda: send(dev, key, '"' + "x" * 2000 + '"') == 413)
    assert send(dev, key) == 200


def test_a_removed_file_closes_the_door_and_retains_the_data(start_dev: StartDev) -> None:
    dev = start_dev()
    key = dev.key("server")
    assert send(dev, key, '{"messageId":"kept"}') == 200
    file = dev.manifests / "acme.yaml"
    file.unlink()
    assert soon(lambda: names(dev) == set())
    assert send(dev, key) == 401

    file.write_text(ACME, "utf-8")
    assert soon(lambda: names(dev) == {"acme"})

    assert dev.key("server") == key
    assert [event.id for event in dev.tail()] == ["kept"]
    assert dev.settle()["balanced"]


def test_a_fault_is_shown_with_file_line_path_and_cure_and_changes_nothing(
    start_dev: StartDev,
) -> None:
    dev = start_dev()
    key = dev.key("server")
    faulty = ACME.replace("streams:", "streems:").replace("use: Server", "use: Backend")
    (dev.manifests / "acme.yaml").write_text(faulty, "utf-8")

    assert soon(lambda: len(state(dev)["faults"]) == 2)
    shown = dev.log
    assert "acme.yaml:5: spec.streems: unknown field 'streems'; did you mean 'streams'?" in shown
    assert "acme.yaml:9: spec.ingest.keys[1].use: 'Backend'" in shown
    assert send(dev, key) == 200
    assert names(dev) == {"acme"}

    (dev.manifests / "acme.yaml").write_text(ACME, "utf-8")
    assert soon(lambda: state(dev)["faults"] == [])


def test_text_that_is_no_yaml_leaves_the_affiliate_running(start_dev: StartDev) -> None:
    dev = start_dev()
    key = dev.key("server")
    (dev.manifests / "acme.yaml").write_text("kind: [Affiliate\n", "utf-8")

    assert soon(lambda: len(state(dev)["faults"]) == 1)
    assert send(dev, key) == 200


def test_two_affiliates_with_one_host_are_a_fault_of_the_second(start_dev: StartDev) -> None:
    host = "spec: {ingest: {hosts: [one.example.com]}}"
    dev = start_dev(manifest=GLOBEX.replace("globex", "first").replace("spec: {}", host))
    second = GLOBEX.replace("globex", "second").replace("spec: {}", host)
    (dev.manifests / "second.yaml").write_text(second, "utf-8")

    assert soon(lambda: len(state(dev)["faults"]) == 1)
    assert names(dev) == {"first"}
    [fault] = state(dev)["faults"]
    assert fault["path"] == "spec.ingest.hosts[0]"
    assert "'one.example.com' belongs to the affiliate 'first'" in fault["message"]


def test_data_of_another_id_is_refused(start_dev: StartDev) -> None:
    dev = start_dev(manifest=GLOBEX.replace("spec: {}", "spec: {id: af-1}"))
    file = dev.manifests / "acme.yaml"
    file.unlink()
    assert soon(lambda: names(dev) == set())
    file.write_text(GLOBEX.replace("spec: {}", "spec: {id: af-2}"), "utf-8")

    assert soon(lambda: len(state(dev)["faults"]) == 1)
    [fault] = state(dev)["faults"]
    assert fault["path"] == "spec.id"
    assert "set spec.id: af-1" in fault["message"]
    assert names(dev) == set()


def test_a_key_from_a_secret_is_taken(start_dev: StartDev) -> None:
    ref = "{secretKeyRef: {name: own, key: web}}"
    keys = f"spec: {{ingest: {{keys: [{{name: web, use: Browser, valueFrom: {ref}}}]}}}}"
    secret = """\
apiVersion: v1
kind: Secret
metadata: {name: own, namespace: trackmate-globex}
stringData: {web: my-own-key}
---
"""
    dev = start_dev(manifest=secret + GLOBEX.replace("spec: {}", keys))

    assert send(dev, "my-own-key") == 200
    assert dev.key("web", "globex") == "my-own-key"


def test_other_kinds_are_left_alone_with_a_notice(start_dev: StartDev) -> None:
    other = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n---\n"
    dev = start_dev(manifest=other + ACME)

    assert names(dev) == {"acme"}
    assert "kind 'ConfigMap' is not read here" in dev.log


def test_a_newcomer_does_not_take_the_host_of_one_that_runs(start_dev: StartDev) -> None:
    host = "spec: {ingest: {hosts: [one.example.com]}}"
    dev = start_dev(manifest=GLOBEX.replace("spec: {}", host))
    thief = GLOBEX.replace("globex", "thief").replace("spec: {}", host)
    (dev.manifests / "aaa.yaml").write_text(thief, "utf-8")

    assert soon(lambda: len(state(dev)["faults"]) == 1)
    assert (names(dev), state(dev)["faults"][0]["file"]) == ({"globex"}, "aaa.yaml")


def test_a_newcomer_does_not_take_the_name_of_one_that_runs(start_dev: StartDev) -> None:
    pipeline = """\
---
apiVersion: trackmate.io/v1alpha1
kind: Pipeline
metadata: {name: to-out, namespace: trackmate-globex}
spec: {stream: events, sink: {stdout: {}}}
"""
    dev = start_dev(manifest=GLOBEX + pipeline)
    key = dev.key("web", "globex")
    thief = GLOBEX.replace("spec: {}", "spec: {ingest: {keys: [{name: own, use: Server}]}}")
    paused = pipeline.replace("stdout: {}}", "stdout: {}}, replicas: 0")
    (dev.manifests / "aaa.yaml").write_text(thief + paused, "utf-8")

    assert soon(lambda: len(state(dev)["faults"]) == 2)
    assert {fault["file"] for fault in state(dev)["faults"]} == {"aaa.yaml"}
    assert send(dev, key) == 200
    [globex] = dev.read("status", "globex")["affiliates"]
    assert "Paused" not in {line["reason"] for line in globex["ledger"]["pipelines"]}
    assert "Pipeline 'globex/to-out' added." in dev.log


def test_another_id_is_refused_while_it_runs_too(start_dev: StartDev) -> None:
    dev = start_dev(manifest=GLOBEX)
    (dev.manifests / "acme.yaml").write_text(GLOBEX.replace("{}", "{id: af-9}"), "utf-8")

    assert soon(lambda: len(state(dev)["faults"]) == 1)
    assert state(dev)["faults"][0]["path"] == "spec.id"
    assert names(dev) == {"globex"}


def test_after_an_odd_file_the_folder_is_followed_on(start_dev: StartDev) -> None:
    dev = start_dev()
    (dev.manifests / "odd.yaml").write_text("kind: [a]\n", "utf-8")
    (dev.manifests / "globex.yaml").write_text(GLOBEX, "utf-8")

    assert soon(lambda: names(dev) == {"acme", "globex"})
