"""
`trackmate-ingest --check` says what is wrong in one sentence each, with the value and the cure, and
never a secret; through the real program, on a broker that asks for credentials.
"""

import json
import os
import re
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml
from confluent_kafka.admin import AclOperation

from ingest_program import KEYS, PROGRAM, SPEC, key, prepared
from kafka_broker import Cluster, kafka_brokers
from kafka_users import allow, set_password
from mounted import Mounted
from trackmate_contract.settings import read, settings
from trackmate_ingest.settings import IngestSettings, relate

PAGE = Path(__file__).parents[2] / "docs" / "ingest.md"
USER, PASSWORD = "acme-ingest", "s3cret-of-kafka"
NEEDED = (AclOperation.WRITE, AclOperation.DESCRIBE, AclOperation.DESCRIBE_CONFIGS)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with kafka_brokers(secured=True) as cluster:
        cluster.create("acme.events", "acme.images", "acme.unwritable", "acme.hidden")
        cluster.create("acme.compacted", cleanup_policy="compact")
        set_password(cluster, USER, PASSWORD)
        for topic in ("acme.events", "acme.images", "acme.compacted", "acme.missing"):
            allow(cluster, USER, topic, *NEEDED)
        allow(cluster, USER, "acme.unwritable", *NEEDED[1:])
        yield cluster


class Checked:
    """Files for a program that are right, and what it says once some are not."""

    def __init__(self, home: Path, cluster: Cluster) -> None:
        self.home = home
        self.files, self.settings = prepared(home, cluster, user=(USER, PASSWORD))

    def streams(self, *names: str) -> None:
        self.settings["spec"] = {**SPEC, "streams": [{"name": name} for name in names]}

    def run(self, **environment: str) -> "subprocess.CompletedProcess[str]":
        self.files.write({"settings.yaml": yaml.safe_dump(self.settings)})
        return check(self.files, **environment)

    def faults(self, **environment: str) -> list[str]:
        done = self.run(**environment)
        assert done.returncode == 1, done.stdout
        assert PASSWORD not in done.stderr
        assert not any(str(one["key"]) in done.stderr for one in KEYS)
        lines = done.stderr.splitlines()
        assert all(line.startswith("trackmate-ingest: ") for line in lines), done.stderr
        where = self.files.path("settings.yaml") + ": "
        return [line.removeprefix("trackmate-ingest: ").removeprefix(where) for line in lines]


def check(files: Mounted, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [PROGRAM, "--check", "--settings", files.path("settings.yaml")],
        env={**os.environ, "PYTHONWARNINGS": "error", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def checked(tmp_path: Path, cluster: Cluster) -> Checked:
    return Checked(tmp_path, cluster)


@pytest.mark.needs("kafka")
def test_what_is_right_is_said_in_a_line(checked: Checked) -> None:
    done = checked.run()

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "All is right: the settings, 2 write keys, the way to Kafka, and the topics of 'acme' "
        "(events, images) keep what 200 promises, as far as relaxed asks.\n"
    )


@pytest.mark.needs("kafka")
@pytest.mark.parametrize(
    ("streams", "said"),
    [
        (["missing"], "Kafka has no topic 'acme.missing'; make it with 3 replicas and min.insync"),
        (["unwritable"], "Kafka does not let ingest use topic 'acme.unwritable'; allow its user W"),
        (["hidden"], "Kafka does not let ingest use topic 'acme.hidden'; allow its user Write and"),
        (["compacted"], "Topic 'acme.compacted' keeps only the last event of each key; set clean"),
    ],
)
def test_topics_that_cannot_keep_the_promise_are_said(
    checked: Checked, streams: list[str], said: str
) -> None:
    checked.streams("events", *streams)

    [fault] = checked.faults()

    assert fault.startswith(said)
    row = {"missing": "no topic", "compacted": "a topic that drops events"}.get(
        streams[0], "an ACL"
    )
    assert streams == ["hidden"] or documented(row).fullmatch(fault)


@pytest.mark.needs("kafka")
def test_one_broker_alone_is_for_development(checked: Checked) -> None:
    checked.streams("events")

    faults = checked.faults(TRACKMATE_INGEST__KAFKA__RELAXED="false")

    assert [fault.split(":")[0] for fault in faults] == [
        "Topic 'acme.events' has 1 replica",
        "Topic 'acme.events' has min.insync.replicas=1",
    ]


@pytest.mark.needs("kafka")
def test_a_wrong_password_is_said_with_the_file_it_is_in(checked: Checked) -> None:
    checked.files.write({"password": "wrong"})

    [fault] = checked.faults()

    path = checked.files.path("password")
    assert fault == (
        f"Kafka does not take the user 'acme-ingest' with the password of {path!r} by "
        "SCRAM-SHA-512; check that file, or the user in Kafka."
    )
    assert documented("the password").fullmatch(fault)


@pytest.mark.needs("kafka")
def test_a_broker_without_tls_is_said(checked: Checked) -> None:
    [fault] = checked.faults(TRACKMATE_INGEST__KAFKA__TLS="{}")

    assert "does not speak TLS as we do" in fault
    assert fault.endswith("name its listener with TLS, or leave kafka.tls out.")


def documented(wrong: str) -> "re.Pattern[str]":
    """What the page says that is told of it; … is anything."""
    [told] = re.findall(rf"^\| {wrong} \| (.+) \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    return re.compile(re.escape(told).replace("…", ".+"))


class Elsewhere:
    """Files of a program whose Kafka is no broker of a test."""

    brokers = (None,)

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap


def elsewhere(home: Path, bootstrap: str) -> Checked:
    return Checked(home, Elsewhere(bootstrap))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("bootstrap", "said"),
    [
        ("127.0.0.1:1", "Kafka's 127.0.0.1:1 cannot be reached (Connection refused); check"),
        ("no.invalid:9093", "Kafka's no.invalid:9093 has no address ("),
    ],
)
def test_brokers_that_cannot_be_reached_are_said(tmp_path: Path, bootstrap: str, said: str) -> None:
    [fault] = elsewhere(tmp_path, bootstrap).faults()

    assert fault.startswith(said)
    assert ("invalid" in bootstrap) != bool(documented("the address").fullmatch(fault))


def test_every_server_that_does_not_answer_is_named(tmp_path: Path) -> None:
    [fault] = elsewhere(tmp_path, "127.0.0.1:1,127.0.0.1:2").faults()

    assert fault.count("Connection refused") == 2


@contextmanager
def shaking_hands(certificate: trustme.LeafCert) -> Iterator[int]:
    """A port that speaks TLS with this certificate, and nothing else."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                try:
                    context.wrap_socket(connection, server_side=True).close()
                except OSError:
                    continue

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


YESTERDAY = datetime.now(UTC) - timedelta(days=1)


@pytest.mark.parametrize(
    ("name", "until", "trusted", "said"),
    [
        ("127.0.0.1", YESTERDAY, True, "certificate has expired"),
        ("kafka.example", None, True, "IP address mismatch"),
        ("127.0.0.1", None, False, "unable to get local issuer certificate"),
    ],
)
def test_a_certificate_that_cannot_be_accepted_is_said(
    tmp_path: Path, name: str, until: datetime | None, said: str, *, trusted: bool
) -> None:
    authority, other = trustme.CA(), trustme.CA()
    certificate = authority.issue_cert(name, not_after=until)
    with shaking_hands(certificate) as port:
        checked = elsewhere(tmp_path, f"127.0.0.1:{port}")
        pem = (authority if trusted else other).cert_pem.bytes().decode()
        checked.files.write({"ca.pem": pem})
        checked.settings["kafka"]["tls"] = {"caFile": checked.files.path("ca.pem")}
        [fault] = checked.faults()

    assert fault.startswith(f"Kafka's 127.0.0.1:{port} shows a certificate that cannot be accepted")
    assert said in fault
    assert fault.endswith("renew it, or name its authority in kafka.tls.caFile.")
    assert ("expired" in said) == bool(documented("the broker's certificate").fullmatch(fault))


@pytest.fixture
def alone(tmp_path: Path) -> Checked:
    """Files that are judged before Kafka is asked."""
    return elsewhere(tmp_path, "127.0.0.1:1")


def test_all_files_that_are_faulty_are_said_at_once(alone: Checked) -> None:
    alone.settings["keysFile"] = "/nowhere/keys.json"
    alone.settings["kafka"]["sasl"]["passwordFile"] = "/nowhere/password"
    alone.settings["kafka"]["tls"] = {"caFile": "/nowhere/ca.pem"}

    faults = alone.faults()

    assert documented("a file").fullmatch(faults[0])
    assert faults == [
        f"{name}: '/nowhere/{file}' cannot be read (No such file or directory); check the path "
        "and who may read it"
        for name, file in (
            ("keysFile", "keys.json"),
            ("kafka.sasl.passwordFile", "password"),
            ("kafka.tls.caFile", "ca.pem"),
        )
    ]


def test_all_settings_that_are_faulty_are_said_at_once(alone: Checked) -> None:
    alone.settings |= {"afiliate": "acme", "workers": 0, "listen": {"host": "0.0.0.0"}}
    alone.settings["spec"] = {"ingest": {"limits": {"eventBytes": "9Mi"}}}
    del alone.settings["affiliate"]

    assert alone.faults(TRACKMATE_INGEST__DRAIN="never") == [
        "affiliate: 'affiliate' is missing; add it, like affiliate: acme",
        "spec.ingest.limits.eventBytes: '9Mi' is too large; write 8Mi or less",
        "workers: 0 is too small; write 1 or more",
        (
            "TRACKMATE_INGEST__DRAIN: 'never' is not a duration; write a whole number and s, m, h "
            "or d, like '7d'"
        ),
        "afiliate: unknown field 'afiliate'; did you mean 'affiliate'?",
        (
            "spec.ingest.limits: eventBytes is 9437184 and bodyBytes 524288, but an event arrives "
            "in a body; lower eventBytes or raise bodyBytes"
        ),
        "spec.ingest.hosts: no host is named, so that every request would be refused; name one",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("affiliate: [", "line 1 is not YAML: "),
        ("affiliate: acme\naffiliate: globex", "line 2 is not YAML: the key 'affiliate' is given"),
        ("- acme", "['acme'] is not a set of settings; write name: value, each on its line"),
    ],
)
def test_a_file_that_holds_no_settings_is_said(alone: Checked, text: str, said: str) -> None:
    alone.files.write({"settings.yaml": text})

    done = check(alone.files)

    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith(f"trackmate-ingest: {alone.files.path('settings.yaml')}: {said}")


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ('[{"name"', "line 1 is not JSON; write a list of keys"),
        ("{}", "is not a list; write the keys in [ ]"),
        ('["tmw_server"]', '[0]: is not a key; write {"name": …, "key": …, "use": …}'),
        ([{**key("web"), "origin": []}], "[0].origin: unknown field 'origin'; did you mean 'or"),
        ([key("web", value="tmw server")], "[0].key: what is there is not a key's value; write p"),
        ([key("web", use="Page")], "[0].use: 'Page' is not possible here; write 'Browser' or 'S"),
        ([key("web"), key("app", value="tmw_web")], "the keys 'web' and 'app' have one value; g"),
    ],
)
def test_write_keys_that_are_faulty_are_said_without_their_values(
    alone: Checked, keys: Any, said: str
) -> None:
    alone.files.write({"keys.json": keys if isinstance(keys, str) else json.dumps(keys)})

    [fault] = alone.faults()

    assert fault.startswith(f"keysFile {alone.files.path('keys.json')!r}: {said}")


def test_the_settings_of_the_page_are_settings() -> None:
    [text] = re.findall(r"^```yaml\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)

    found = read(
        IngestSettings,
        yaml.safe_load(text),
        {},
        program="TRACKMATE_INGEST",
        value=str,
        relate=relate,
    )

    assert found.kafka.sasl is not None
    assert (found.affiliate, found.workers, found.drain_s) == ("acme", 1, 10)


def test_help_lists_every_setting() -> None:
    done = subprocess.run([PROGRAM, "--help"], capture_output=True, text=True, check=True)

    for setting in settings(IngestSettings, "TRACKMATE_INGEST"):
        assert f"\n{setting.path}  (" in done.stdout
        assert f"\n    {setting.variable}\n    {setting.text}\n" in done.stdout
    assert "\ndrain  (duration, default 10s)\n" in done.stdout
