"""
The `trackmate` command against a real instance: what it prints, what it returns, what it says when
something is wrong.
"""

import json
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import httpx
import pytest
import yaml

from loopback import LOOPBACK
from running import ACME, TRACKMATE, Dev, Stored, start_in, stored
from trackmate_ingest import sdk
from waiting_for import wait_until

StartDev = Callable[..., Dev]


def words(output: bytes) -> str:
    """What was printed, without its line breaks."""
    return " ".join(output.decode().split())


def tailed(dev: Dev, *arguments: str) -> list[Stored]:
    done = dev.command("tail", "acme", *arguments, "--json")
    assert done.returncode == 0, done.stderr.decode()
    return [stored(line) for line in done.stdout.splitlines()]


def test_send_and_tail_keep_bytes(start_anywhere: StartDev, tmp_path: Path) -> None:
    dev = start_anywhere()
    events = [b'{"messageId":"1",  "n": 1e400}', b'{\n  "messageId": "2"\n}']
    (tmp_path / "events.json").write_bytes(b"[" + b" ,\n".join(events) + b"]")

    done = dev.command("send", "acme", "events.json")

    assert words(done.stdout) == "2 events stored, in 1 request."
    assert dev.command("tail", "acme", "--raw").stdout == b"\n".join([*events, b""])
    [first, second] = tailed(dev)
    assert (first.id, second.id) == ("1", "2")
    assert second.sha256 == sha256(events[1]).hexdigest()


def test_send_reads_standard_input_and_splits_what_is_too_large(start_dev: StartDev) -> None:
    dev = start_dev()
    lines = b"\n".join(b'{"messageId":"%d"}' % number for number in range(2500))

    done = dev.command("send", "acme", "-", "--json", stdin=lines)

    assert json.loads(done.stdout) == {"events": 2500, "requests": 3}
    assert [event.id for event in dev.tail()] == [str(number) for number in range(2500)]


def test_send_tells_the_place_of_a_fault_and_sends_nothing(start_dev: StartDev) -> None:
    dev = start_dev()

    done = dev.command("send", "acme", "-", stdin=b'{"a":1}\n{"a":01}\n')

    assert done.returncode == 2
    assert "Nothing was sent. Event 1 is malformed at byte 14" in words(done.stderr)
    assert dev.tail() == []


def test_tail_begins_where_it_is_told_and_ends_at_its_limit(start_anywhere: StartDev) -> None:
    dev = start_anywhere()
    dev.command("send", "acme", "-", stdin=b'{"messageId":"old"}')
    time.sleep(0.01)  # the two must not share a millisecond
    between = f"{time.time():.3f}".replace(".", "")
    dev.command("send", "acme", "-", stdin=b'{"messageId":"new"}\n{"messageId":"newer"}')
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(int(between) // 1000))
    since = f"{moment}.{int(between) % 1000:03d}Z"

    assert [event.id for event in tailed(dev, "--from", since)] == ["new", "newer"]
    assert [event.id for event in tailed(dev, "--limit", "1")] == ["old"]
    assert tailed(dev, "--from", "latest") == []
    assert tailed(dev, "images") == []


def test_tail_of_a_stream_that_is_not_there_names_those_that_are(
    start_anywhere: StartDev,
) -> None:
    dev = start_anywhere()

    done = dev.command("tail", "acme", "nope")

    assert done.returncode == 2
    assert words(done.stderr).endswith(
        "Affiliate 'acme' has no stream 'nope'. It has: events, images."
    )


def test_tail_shows_what_is_retained_of_a_stream_that_left_the_spec(
    start_anywhere: StartDev,
) -> None:
    dev = start_anywhere()
    dev.post({"messageId": "1"}, stream="images")
    without = ACME.replace(", {name: images, partitions: 1}", "")
    (dev.manifests / "acme.yaml").write_text(without)
    wait_until(lambda: "'acme' changed" in dev.log, "it left")

    assert [event.id for event in tailed(dev, "images")] == ["1"]


def test_tail_follows(start_anywhere: StartDev) -> None:
    dev = start_anywhere()
    following = subprocess.Popen(
        [TRACKMATE, "tail", "acme", "--follow", "--from", "earliest", "--limit", "2", "--json"],
        cwd=dev.home,
        stdout=subprocess.PIPE,
    )
    assert following.stdout is not None
    dev.command("send", "acme", "-", stdin=b'{"messageId":"1"}')
    first = json.loads(following.stdout.readline())
    dev.command("send", "acme", "-", stdin=b'{"messageId":"2"}')
    rest, _ = following.communicate(timeout=10)

    assert (first["id"], json.loads(rest)["id"]) == ("1", "2")


def test_what_events_hold_does_not_drive_the_terminal(start_anywhere: StartDev) -> None:
    dev = start_anywhere()
    dev.command("send", "acme", "-", stdin='"\x9b2J\u202e\x7f"'.encode())

    shown = dev.command("tail", "acme").stdout.decode()

    assert "\\x9b2J" in shown
    assert "\x9b" not in shown
    assert "\x7f" not in shown


def test_keys_have_the_form_that_programs_read(start_dev: StartDev) -> None:
    keys = start_dev().read("keys", "list", "acme")

    assert [key["name"] for key in keys] == ["server", "web"]
    assert list(keys[0]) == ["name", "key", "use", "created", "expires", "origins"]
    assert keys[1]["origins"] == ["https://www.acme.example"]
    assert (keys[0]["use"], keys[1]["use"]) == ("Server", "Browser")


def test_a_rotated_key_has_two_values_for_its_grace(start_dev: StartDev) -> None:
    dev = start_dev()
    old = dev.key("server")

    rotated = [k for k in dev.read("keys", "rotate", "acme", "server") if k["name"] == "server"]

    assert [key["key"] == old for key in rotated] == [True, False]
    assert rotated[0]["expires"] is not None
    assert rotated[1]["expires"] is None
    assert post(dev, old) == post(dev, rotated[1]["key"]) == 200
    dev.command("keys", "rotate", "acme", "server", "--grace", "0s")
    assert post(dev, old) == post(dev, rotated[1]["key"]) == 401
    assert post(dev, dev.key("server")) == 200


def test_a_created_key_works_until_it_is_revoked(start_dev: StartDev) -> None:
    dev = start_dev()
    arguments = ("--use", "Browser", "--origin", "https://shop.example")
    [made] = [
        k for k in dev.read("keys", "create", "acme", "shop", *arguments) if k["name"] == "shop"
    ]

    assert made["origins"] == ["https://shop.example"]
    assert post(dev, made["key"]) == 200
    assert dev.command("keys", "create", "acme", "shop").returncode == 2
    dev.read("keys", "revoke", "acme", "shop")
    assert post(dev, made["key"]) == 401


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["Bad!"], "name: 'Bad!' is not a name; write"),
        (["shop", "--use", "Browser", "--origin", "nonsense"], "origins[0]: 'nonsense' is not"),
        (["late", "--expires", "soon"], "expires: 'soon' is not a time; write"),
        (["of-server", "--origin", "https://a.example"], "A server key has no origins. Leave"),
    ],
)
def test_a_faulty_key_is_refused_with_its_value_and_the_cure(
    dev: Dev, arguments: list[str], told: str
) -> None:
    done = dev.command("keys", "create", "acme", *arguments)

    assert done.returncode == 2
    assert told in words(done.stderr)


def test_keys_survive_a_restart(start_dev: StartDev) -> None:
    dev = start_dev()
    dev.command("keys", "rotate", "acme", "server")
    before = dev.read("keys", "list", "acme")
    assert dev.stop() == 0

    assert start_dev().read("keys", "list", "acme") == before


def test_audit_shows_the_books_and_returns_whether_they_balance(start_anywhere: StartDev) -> None:
    dev = start_anywhere()
    dev.command(
        "send", "acme", "-", stdin=b'{"messageId":"1"}\n{"messageId":"1"}\n{"messageId":"1", "n":2}'
    )
    dev.settle()

    books = dev.audit()
    [line] = books["pipelines"]
    assert (books["accepted"], books["balanced"]) == (3, True)
    assert (line["delivered"], line["duplicates"], line["conflicts"]) == (1, 1, 1)
    assert (line["filtered"], line["dead"], line["expired"], line["in_flight"]) == (0, 0, 0, 0)
    assert line["documents"] == 2
    assert dev.command("audit", "acme").returncode == 0


def test_audit_returns_1_when_a_document_is_missing_and_names_its_event(
    start_anywhere: StartDev,
) -> None:
    dev = start_anywhere()
    events = [b'{"messageId":"%d"}' % number for number in range(3)]
    dev.command("send", "acme", "-", stdin=b"\n".join(events))
    dev.settle()
    with sqlite3.connect(dev.home / ".trackmate" / "data" / "acme.db") as connection:
        connection.execute("DELETE FROM documents WHERE key = 'e::events::1'")

    done = dev.command("audit", "acme")

    assert done.returncode == 1
    told = words(done.stderr)
    assert "3 documents made, 2 in the store" in told
    assert "event '1' at events/0@1 has no document" in told
    assert told.count("has no document") == 1


def test_status_shows_what_runs_and_what_is_wrong(start_anywhere: StartDev) -> None:
    dev = start_anywhere()
    status = dev.read("status", "acme")

    assert status["affiliates"][0]["endpoint"] == dev.url
    assert status["faults"] == []
    assert "acme" in dev.command("status").stdout.decode()
    assert dev.command("status", "nobody").returncode == 2


def test_the_snippet_holds_the_browser_key_and_never_a_server_key(start_dev: StartDev) -> None:
    dev = start_dev()
    snippet = dev.command("snippet", "acme").stdout.decode()

    assert snippet == (
        f'<script async src="{dev.url}/trackmate.js" data-key="{dev.key("web")}"></script>\n'
    )
    assert dev.read("snippet", "acme") == {"snippet": snippet.rstrip("\n")}
    pinned = dev.command("snippet", "acme", "--pinned").stdout.decode()
    newest = sdk.newest()
    assert f'src="{dev.url}{newest.path}" integrity="{newest.integrity}"' in pinned
    assert 'crossorigin="anonymous"' in pinned
    assert dev.read("snippet", "acme", "--pinned") == {"snippet": pinned.rstrip("\n")}


def test_doctor_finds_nothing_wrong_with_a_good_instance(start_anywhere: StartDev) -> None:
    dev = start_anywhere()
    checks = dev.read("doctor")

    assert {check["check"] for check in checks} >= {"Python", "SQLite", "Disk sync", "Instance"}
    assert all(check["passed"] for check in checks)


def test_init_prints_an_affiliate_that_runs(start_dev: StartDev, tmp_path: Path) -> None:
    printed = subprocess.run(
        [TRACKMATE, "init", "shop"], capture_output=True, check=True, cwd=tmp_path
    ).stdout.decode()
    dev = start_dev(manifest=printed)

    assert [document["kind"] for document in yaml.safe_load_all(printed)] == [
        "Namespace",
        "Affiliate",
    ]
    assert post(dev, dev.key("web", "shop")) == 200


def test_init_refuses_a_name_that_cannot_be_one(tmp_path: Path) -> None:
    done = subprocess.run(
        [TRACKMATE, "init", "Shop!"], capture_output=True, cwd=tmp_path, check=False
    )

    assert done.returncode == 2
    assert "'Shop!' is not a name" in words(done.stderr)


@pytest.mark.parametrize(
    "command", [["tail", "acme"], ["audit", "acme"], ["status"], ["keys", "list", "acme"]]
)
def test_without_an_instance_every_command_says_how_to_start_one(
    tmp_path: Path, command: list[str]
) -> None:
    done = subprocess.run([TRACKMATE, *command], capture_output=True, cwd=tmp_path, check=False)

    assert done.returncode == 3
    assert "Start one here: trackmate dev; or name a kubeconfig" in words(done.stderr)


def test_an_instance_that_was_killed_is_none(start_dev: StartDev) -> None:
    dev = start_dev()
    dev.kill()

    done = dev.command("status")

    assert (dev.home / ".trackmate" / "instance.json").exists()
    assert done.returncode == 3
    assert "No Trackmate runs in this folder" in words(done.stderr)
    assert "Start one here: trackmate dev" in words(done.stderr)


KUBECONFIG = """\
current-context: away
contexts: [{name: away, context: {cluster: away, user: me}}]
clusters: [{name: away, cluster: {server: "https://127.0.0.1:9"}}]
users: [{name: me, user: {token: t}}]
"""


def test_an_instance_that_was_killed_is_not_in_the_way_to_the_cluster(
    start_dev: StartDev, monkeypatch: pytest.MonkeyPatch
) -> None:
    dev = start_dev()
    kubeconfig = dev.home / "kubeconfig"
    kubeconfig.write_text(KUBECONFIG)
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    assert "The embedded instance at" in words(dev.command("status").stderr)
    dev.kill()

    done = dev.command("status")

    assert done.returncode == 3
    assert "The API server of the cluster of context 'away' does not answer" in words(done.stderr)


def test_an_instance_that_hangs_is_told_from_none(start_dev: StartDev) -> None:
    dev = start_dev()
    found = dev.home / ".trackmate" / "instance.json"
    found.write_text(found.read_text().replace(dev.url, "http://127.0.0.1:9"))

    done = dev.command("status")

    assert done.returncode == 3
    assert f"(process {dev.process.pid}) no longer answers" in words(done.stderr)


def test_an_unknown_affiliate_is_answered_with_those_there_are(start_dev: StartDev) -> None:
    done = start_dev().command("audit", "nobody")

    assert done.returncode == 2
    assert words(done.stderr).endswith("No affiliate 'nobody' runs here. There is: acme.")


def test_a_second_instance_does_not_take_the_data_of_the_first(start_dev: StartDev) -> None:
    dev = start_dev()
    done = dev.command("dev", "affiliates", "--port", "0")

    assert done.returncode == 2
    assert f"(process {dev.process.pid}) uses the data" in words(done.stderr)
    assert post(dev, dev.key("server")) == 200


def test_a_taken_port_is_said_with_a_cure(start_dev: StartDev) -> None:
    dev = start_dev()
    done = dev.command("dev", "affiliates", "--port", str(dev.port), "--data", "other")

    assert done.returncode == 2
    assert f"Port {dev.port} is taken by another program. Choose another one" in words(done.stderr)


def test_without_a_folder_the_example_affiliate_runs(tmp_path: Path) -> None:
    dev = start_in(tmp_path, "--port", "0")
    try:
        assert post(dev, dev.key("web")) == 200
    finally:
        assert dev.stop() == 0


def post(dev: Dev, key: str) -> int:
    with httpx.Client(base_url=dev.url, **LOOPBACK) as http:
        answer = http.post("/v1/events", json={}, headers={"x-trackmate-key": key})
        return answer.status_code


def test_a_tail_that_is_left_again_and_again_harms_nobody(start_anywhere: StartDev) -> None:
    """A reader closed under its thread once took the whole process with it."""
    dev = start_anywhere()
    lines = b"\n".join(b'{"messageId":"%d","x":"%s"}' % (n, b"x" * 50_000) for n in range(150))
    dev.command("send", "acme", "-", stdin=lines)
    asked = b"GET /api/affiliates/acme/records HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    for number in range(150):
        with socket.create_connection(("127.0.0.1", dev.port)) as leaving:
            leaving.sendall(asked)
            leaving.settimeout(5)
            leaving.recv(1 + number * 10)

    assert dev.process.poll() is None
    assert len(dev.tail()) == 150


@pytest.mark.parametrize("path", ["/etc/hostname", "/../../main.py", "/%2e%2e/main.py"])
def test_the_pages_lead_to_no_other_file(start_dev: StartDev, path: str) -> None:
    dev = start_dev()
    request = f"GET /pages/{path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", dev.port)) as connection:
        connection.sendall(request)
        assert b" 404 " in connection.recv(100)


def test_send_passes_over_expired_keys(start_dev: StartDev) -> None:
    dev = start_dev()
    dev.command("keys", "rotate", "acme", "server", "--grace", "0s")

    assert dev.command("send", "acme", "-", stdin=b"{}").returncode == 0


def test_a_grace_beyond_all_years_breaks_nothing(start_dev: StartDev) -> None:
    dev = start_dev()
    dev.command("keys", "rotate", "acme", "server", "--grace", "99999999d")

    assert dev.command("keys", "list", "acme").returncode == 0


@pytest.mark.parametrize("name", ["", "acme/figures", "../acme"])
def test_a_name_that_is_none_is_answered_in_words(start_dev: StartDev, name: str) -> None:
    done = start_dev().command("audit", name)

    assert done.returncode == 2
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("bootstrap", "told"),
    [
        (
            "127.0.0.1:1",
            "Kafka's 127.0.0.1:1 cannot be reached (Connection refused); check --kafka",
        ),
        ("nonsense", "--kafka 'nonsense' is not a list of brokers; write host:port"),
    ],
)
def test_a_kafka_that_is_not_there_is_said_with_a_cure(
    tmp_path: Path, bootstrap: str, told: str
) -> None:
    done = subprocess.run(
        [TRACKMATE, "dev", "--kafka", bootstrap, "--port", "0"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert told in " ".join(done.stderr.split())
