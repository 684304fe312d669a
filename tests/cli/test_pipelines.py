"""
Pipelines of a folder, from the command line: started and changed by saving a file, paused, resumed,
their dead letters shown and sent again, and all that can be wrong with them said in words.
"""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from loopback import LOOPBACK
from running import ACME, TRACKMATE, Dev
from waiting_for import wait_until

StartDev = Callable[..., Dev]

PIPELINE = """\
apiVersion: trackmate.io/v1alpha1
kind: Pipeline
metadata: {{name: {name}, namespace: trackmate-acme}}
spec:
  stream: events
  format: {form}
  sink: {{stdout: {{}}}}
  delivery: {{batch: {{wait: 1s}}}}
"""


def declare(dev: Dev, name: str = "to-out", *, form: str = "json", more: str = "") -> None:
    (dev.manifests / f"{name}.yaml").write_text(PIPELINE.format(name=name, form=form) + more)


def post(dev: Dev, *events: bytes) -> None:
    answer = httpx.post(
        f"{dev.url}/v1/events",
        content=b"\n".join(events),
        headers={
            "Authorization": f"Bearer {dev.key('server')}",
            "Content-Type": "application/x-ndjson",
        },
        **LOOPBACK,
    )
    assert answer.status_code == 200, answer.text


def line(dev: Dev, name: str = "to-out") -> Any:
    """The pipeline's line of the ledger; None while it does not run."""
    answer = httpx.get(f"{dev.url}/api/affiliates/acme", **LOOPBACK).json()
    found = [one for one in answer["ledger"]["pipelines"] if one["name"] == name]
    return found[0] if found else None


def runs(dev: Dev, name: str = "to-out") -> None:
    wait_until(lambda: line(dev, name) and line(dev, name)["ready"], f"{name} runs")


def settled(dev: Dev, events: int, name: str = "to-out") -> None:
    def is_settled() -> bool:
        books = line(dev, name)
        return bool(books["accepted"] == events and books["in_flight"] == 0)

    wait_until(is_settled, f"{events} events of {name} are settled")


def faults(dev: Dev) -> Any:
    return httpx.get(f"{dev.url}/api/affiliates", **LOOPBACK).json()["faults"]


def words(done: subprocess.CompletedProcess[bytes]) -> str:
    return " ".join((done.stdout + done.stderr).decode().split())


def test_a_pipeline_starts_when_its_file_is_saved_and_stops_when_it_is_removed(
    start_anywhere: StartDev,
) -> None:
    dev = start_anywhere()
    declare(dev)
    runs(dev)

    post(dev, b'{"messageId": "1"}', b'{"messageId":"2"}')
    settled(dev, 2)

    assert '{"messageId": "1"}\n{"messageId":"2"}\n' in dev.log
    assert "'acme/to-out' added" in dev.log
    (dev.manifests / "to-out.yaml").unlink()
    wait_until(lambda: line(dev) is None, "it is gone")
    post(dev, b'{"messageId":"3"}')
    declare(dev)
    runs(dev)
    settled(dev, 3)
    assert dev.log.count('"messageId": "1"') == 1, "it went on from where it was"
    assert dev.audit()["balanced"]


def test_what_cannot_be_written_is_a_dead_letter_with_its_bytes_and_can_be_sent_again(
    start_anywhere: StartDev,
) -> None:
    dev = start_anywhere()
    declare(dev, form="csv")
    runs(dev)
    poison = b'"\xe2\x9c\x93 no  row"'
    post(dev, b'{"a":1}', poison, b"[1,2]")
    settled(dev, 3)

    [letter] = dev.read("dead-letters", "list", "acme/to-out")["letters"]
    assert (letter["reason"], letter["attempts"]) == ("format_error", 1)
    number = str(letter["number"])
    shown = dev.command("dead-letters", "show", "acme/to-out", number, "--raw")
    assert shown.stdout == poison
    assert "csv needs an object or an array" in words(
        dev.command("dead-letters", "show", "acme/to-out", number)
    )
    assert "format_error" in words(dev.command("dead-letters", "list", "acme/to-out"))
    status = words(dev.command("status", "acme"))
    assert "acme/to-out" in status

    declare(dev, form="json")
    wait_until(lambda: "'acme/to-out' changed" in dev.log, "the change is followed")
    runs(dev)
    done = dev.command("dead-letters", "replay", "acme/to-out")
    assert "1 dead letter is sent again" in words(done)

    wait_until(lambda: line(dev)["dead_letters"] == 0, "the letter is delivered")
    books = dev.audit()
    assert books["balanced"], books
    assert (line(dev)["delivered"], line(dev)["dead"]) == (3, 0)
    assert poison.decode() + "\n" in dev.log


def test_a_paused_pipeline_waits_across_a_restart_and_says_why(start_anywhere: StartDev) -> None:
    dev = start_anywhere()
    declare(dev)
    runs(dev)
    done = dev.command("pause", "acme/to-out", "--reason", "the CRM moves house")
    assert "acme/to-out is paused" in words(done)
    post(dev, b'{"messageId":"1"}')
    dev.stop()

    dev = start_anywhere()
    wait_until(lambda: line(dev)["in_flight"] == 1, "the event waits")
    assert line(dev)["message"] == "the CRM moves house"
    assert "the CRM moves house" in words(dev.command("status"))
    assert line(dev)["conditions"][0] == {
        "type": "Ready",
        "status": "False",
        "reason": "Paused",
        "message": "the CRM moves house",
    }

    assert "acme/to-out goes on" in words(dev.command("resume", "acme/to-out"))
    settled(dev, 1)


@pytest.mark.parametrize(
    ("manifest", "told"),
    [
        (
            PIPELINE.format(name="a1", form="json").replace("trackmate-acme", "trackmate-other"),
            "metadata.namespace: no affiliate here has the namespace 'trackmate-other'",
        ),
        (
            PIPELINE.format(name="a1", form="json").replace("stream: events", "stream: orders"),
            "spec.stream: the affiliate 'acme' has no stream 'orders'; it has: events, images",
        ),
        (
            PIPELINE.format(name="a1", form="json").replace(
                "{stdout: {}}",
                "{kafka: {bootstrapServers: 'k:9092', topic: t, "
                "credentialsSecretRef: {name: partner}}}",
            ),
            "spec.sink.kafka.credentialsSecretRef: no Secret 'partner' with a key 'username'",
        ),
        (
            PIPELINE.format(name="a1", form="json").replace("{stdout: {}}", "{couchbase: {}}"),
            "spec.sink.couchbase: there is no Couchbase here; there are files, http, kafka, ",
        ),
        (
            PIPELINE.format(name="a1", form="json").replace(
                "{stdout: {}}",
                "{http: {url: 'http://127.0.0.1:1/', signing: {secretRef: {name: crm, key: k}}}}",
            ),
            "spec.sink.http.signing.secretRef: no Secret 'crm' with a key 'k'",
        ),
        (
            PIPELINE.format(name="a1", form="json").replace(
                "{stdout: {}}", "{stdout: {colour: 1}}"
            ),
            "spec.sink.stdout.colour: unknown field 'colour'",
        ),
        (
            PIPELINE.format(name="a1", form="json").replace("format: json", "format: xml"),
            "spec.format: 'xml'",
        ),
        (
            PIPELINE.format(name="a1", form="json")
            + "---\n"
            + PIPELINE.format(name="a1", form="csv"),
            "metadata.name: the pipeline 'a1' is in faulty.yaml already; remove one of them",
        ),
        (
            PIPELINE.format(name="to-out", form="csv"),
            "faulty.yaml:3: metadata.name: the pipeline 'to-out' is in to-out.yaml already; remove",
        ),
        (
            PIPELINE.format(name="a1", form="json") + "  filter: event.type ==\n",
            "spec.filter: line 1, column 14: Syntax error",
        ),
        (
            PIPELINE.format(name="a1", form="json") + "  filter: size(event)\n",
            "spec.filter: it says int, and a filter says true or false; compare it",
        ),
        (
            PIPELINE.format(name="a1", form="json") + "  transform: {jq: '{id: .messageId'}\n",
            "spec.transform.jq: line 1, column",
        ),
        (
            PIPELINE.format(name="a1", form="json") + "  transform: {jq: '.a, env.PATH'}\n",
            "spec.transform.jq: line 1, column 5: 'env' is not allowed: a transform has no",
        ),
        (
            PIPELINE.format(name="a1", form="json").replace(
                "{stdout: {}}", "{http: {url: 'ftp://crm.example/?token=hush'}}"
            ),
            "spec.sink.http.url: 'ftp://crm.example/?…' is not an http URL",
        ),
        (
            "kind: Secret\napiVersion: v1\nmetadata: {name: crm}\nstringData: hush\n",
            "stringData: what is there is no mapping",
        ),
    ],
)
def test_what_is_wrong_with_a_pipeline_is_one_sentence_and_the_rest_runs_on(
    dev: Dev, manifest: str, told: str
) -> None:
    declare(dev)
    runs(dev)
    faulty = dev.manifests / "faulty.yaml"
    faulty.write_text(manifest)
    try:
        plan = dev.command("plan", "-f", str(dev.manifests))
        wait_until(lambda: told in dev.log, told)
        before = line(dev)
        post(dev, b"{}")
        wait_until(lambda: line(dev)["delivered"] > before["delivered"], "the rest delivers")
    finally:
        faulty.unlink()
        wait_until(lambda: not faults(dev), "nothing is wrong any more")
    assert plan.returncode == 2
    assert told in words(plan)
    assert "hush" not in dev.log + words(plan)


def test_all_that_is_wrong_with_a_pipeline_is_said_at_once(start_dev: StartDev) -> None:
    dev = start_dev()
    expressions = "  filter: event.type ==\n  transform: {jq: foo}\n"
    declare(dev, more=expressions)
    declare(dev, "a1", form="xml", more=expressions)
    told = ["a1.yaml:6: spec.format: 'xml'"]
    for file in ("a1.yaml", "to-out.yaml"):
        told.append(f"{file}:9: spec.filter: line 1, column 14: Syntax error")
        told.append(f"{file}:10: spec.transform.jq: line 1, column 1: foo/0 is not defined")

    plan = words(dev.command("plan", "-f", str(dev.manifests)))

    assert [one for one in told if one not in plan] == []
    wait_until(lambda: all(one in dev.log for one in told), "dev says so too")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://169.254.169.254/latest/meta-data", "spec.sink.http.url: "),
        ("http://10.0.0.1/", "spec.sink.http.url: "),
        ("http://2130706433/", "spec.sink.http.url: '2130706433' is an address in disguise"),
        ("http://[::ffff:10.0.0.1]/", "spec.sink.http.url: "),
    ],
)
def test_a_url_that_is_not_reached_is_said_by_its_pipeline_and_the_rest_runs_on(
    dev: Dev, url: str, told: str
) -> None:
    declare(dev)
    runs(dev)
    manifest = PIPELINE.format(name="unfit", form="json")
    file = dev.manifests / "unfit.yaml"
    file.write_text(manifest.replace("{stdout: {}}", f"{{http: {{url: '{url}'}}}}"))
    try:
        wait_until(lambda: line(dev, "unfit") and line(dev, "unfit")["message"], "it says why")
        unfit, before = line(dev, "unfit"), line(dev)
        post(dev, b"{}")
        wait_until(lambda: line(dev)["delivered"] > before["delivered"], "the rest delivers")
        status = words(dev.command("status", "acme"))
    finally:
        file.unlink()
        wait_until(lambda: line(dev, "unfit") is None, "it is gone")
    assert (unfit["reason"], unfit["message"].startswith(told)) == ("SinkUnfit", True), unfit
    assert unfit["message"] in status


def test_plan_shows_what_a_changed_folder_would_do_and_does_nothing(
    start_dev: StartDev, tmp_path: Path
) -> None:
    dev = start_dev()
    declare(dev)
    runs(dev)
    wanted = tmp_path / "wanted"
    wanted.mkdir()
    (wanted / "acme.yaml").write_text(ACME)
    (wanted / "new.yaml").write_text(PIPELINE.format(name="brand-new", form="csv"))

    done = dev.read("plan", "-f", str(wanted))

    assert [(c["action"], c["kind"], c["name"]) for c in done["changes"]] == [
        ("add", "Pipeline", "acme/brand-new"),
        ("remove", "Pipeline", "acme/to-out"),
    ]
    changed = PIPELINE.format(name="to-out", form="ndjson")
    (wanted / "new.yaml").write_text(changed)
    one_file = words(dev.command("plan", "-f", str(wanted / "new.yaml")))
    assert '~ Pipeline acme/to-out spec.format: "json" -> "ndjson"' in one_file
    assert line(dev)["ready"]
    assert line(dev, "brand-new") is None


RIVAL = """\
apiVersion: trackmate.io/v1alpha1
kind: Affiliate
metadata: {name: rival}
spec: {namespace: trackmate-acme}
"""
CONFLICT = "spec.namespace: the namespace 'trackmate-acme' belongs to the affiliate 'acme' already"


def test_an_affiliate_gets_no_pipeline_of_the_one_whose_namespace_it_wants(
    start_dev: StartDev,
) -> None:
    dev = start_dev()
    declare(dev)
    runs(dev)

    (dev.manifests / "a-rival.yaml").write_text(RIVAL)

    wait_until(lambda: CONFLICT in dev.log, "it is said")
    assert [one["name"] for one in dev.read("status")["affiliates"]] == ["acme"]
    plan = dev.command("plan", "-f", str(dev.manifests))
    assert plan.returncode == 2
    assert CONFLICT in words(plan)
    assert "Traceback" not in words(plan)


def test_a_namespace_stays_with_who_runs_in_it_while_its_file_is_faulty(
    start_dev: StartDev,
) -> None:
    dev = start_dev()
    declare(dev)
    runs(dev)
    (dev.manifests / "acme.yaml").write_text(ACME + "  streems: []\n")
    wait_until(lambda: "did you mean 'streams'" in dev.log, "it is faulty")

    (dev.manifests / "rival.yaml").write_text(RIVAL)
    wait_until(lambda: CONFLICT in dev.log, "it is said")
    assert [one["name"] for one in dev.read("status")["affiliates"]] == ["acme"]
    (dev.manifests / "acme.yaml").unlink()

    wait_until(lambda: "'rival/to-out' added" in dev.log, "the namespace is free")


def test_plan_works_without_an_instance(tmp_path: Path) -> None:
    done = subprocess.run(
        [TRACKMATE, "plan", "-f", str(Path("examples/01-first-affiliate").resolve()), "--json"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["changes"][0] == {
        "action": "add",
        "kind": "Affiliate",
        "name": "acme",
        "fields": [],
        "note": "",
    }


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["pause", "acme"], "'acme' is no pipeline's name. Write AFFILIATE/PIPELINE"),
        (["resume", "acme/nowhere"], "Affiliate 'acme' runs no pipeline 'nowhere'"),
        (["dead-letters", "show", "acme/store", "99"], "'store' has no dead letter 99"),
        (["dead-letters", "replay", "acme/store", "99"], "'store' has no dead letter 99"),
        (["plan", "-f", "nowhere"], "'nowhere' is neither a file nor a folder"),
    ],
)
def test_a_wrong_argument_is_told_with_its_cure(dev: Dev, arguments: list[str], told: str) -> None:
    done = dev.command(*arguments)

    assert done.returncode == 2
    assert told in words(done)


def test_bytes_of_a_dead_letter_cannot_drive_the_terminal(start_dev: StartDev) -> None:
    dev = start_dev()
    declare(dev, form="csv")
    runs(dev)
    post(dev, b'"\xc2\x9b2Jgone \x7f"')
    settled(dev, 1)
    [letter] = dev.read("dead-letters", "list", "acme/to-out")["letters"]

    shown = dev.command("dead-letters", "show", "acme/to-out", str(letter["number"]))

    assert b"\\x9b2Jgone \\x7f" in shown.stdout
    assert b"\xc2\x9b" not in shown.stdout
