"""Settings are taken whole, or all that is wrong with them is said, wherever it was written."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import pytest
import yaml
from pydantic import Field

from trackmate_contract import kafka as kafka_rules
from trackmate_contract.affiliate import AffiliateSpec
from trackmate_contract.faults import Fault, Faulty, Place
from trackmate_contract.kafka import Kafka, client_settings
from trackmate_contract.leaves import Whole, duration
from trackmate_contract.settings import Settings, described, read, settings


class Demo(Settings):
    spec: AffiliateSpec = AffiliateSpec()
    """The affiliate's spec."""
    kafka: Kafka = Field(examples=["{bootstrapServers: …}"])
    """How to reach Kafka."""
    workers: Annotated[Whole, Field(ge=1)] = 1
    """Processes."""
    drain_s: Annotated[int, duration("1s", "5m")] = 10
    """How long requests are still taken."""


FILE = {"kafka": {"bootstrapServers": "a.example:9093"}}


def rules(document: Place) -> Iterator[Fault]:
    yield from kafka_rules.rules(document.at("kafka"))


def value(text: str) -> object:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        raise ValueError("is not YAML") from None


def taken(document: object, **environment: str) -> Demo:
    return read(Demo, document, environment, program="DEMO", value=value, relate=rules)


def faults(document: object, **environment: str) -> list[str]:
    with pytest.raises(Faulty) as faulty:
        taken(document, **environment)
    return [str(fault) for fault in faulty.value.faults]


def test_the_environment_overrides_the_file() -> None:
    found = taken(
        {**FILE, "workers": 2, "drain": "20s"},
        DEMO__WORKERS="4",
        DEMO__KAFKA__RELAXED="true",
        DEMO__KAFKA__TLS__CA_FILE="/ca.pem",
        DEMO__SPEC="{streams: [{name: clicks}]}",
        DEMO__DRAIN="",
        OTHER__WORKERS="8",
    )

    assert (found.workers, found.drain_s) == (4, 20)
    assert found.kafka.relaxed
    assert found.kafka.tls is not None
    assert found.kafka.tls.ca_file == "/ca.pem"
    assert [stream.name for stream in found.spec.streams] == ["clicks"]


def test_a_program_may_be_set_by_its_environment_alone() -> None:
    assert taken(None, DEMO__KAFKA__BOOTSTRAP_SERVERS="b.example:1").workers == 1


def test_what_kubernetes_sets_for_a_service_of_the_same_name_is_no_setting() -> None:
    assert taken(FILE, DEMO_PORT="tcp://10.0.0.1:80", DEMO_SERVICE_HOST="10.0.0.1") == taken(FILE)


def test_all_faults_are_said_at_once_where_they_were_written() -> None:
    document = {
        "kafka": {"bootstrapServer": "a:1", "tls": {"certFile": "/cert.pem"}},
        "workers": "two",
    }

    said = faults(document, DEMO__DRAIN="soon", DEMO__WORKRES="3", DEMO__KAFKA__RELAXED="{")

    assert said == [
        "DEMO__KAFKA__RELAXED: is not YAML",
        "DEMO__WORKRES: no setting has this variable; did you mean DEMO__WORKERS?",
        (
            "kafka.bootstrapServers: 'bootstrapServers' is missing; add it, like "
            "bootstrapServers: kafka-bootstrap.kafka:9093"
        ),
        "kafka.bootstrapServer: unknown field 'bootstrapServer'; did you mean 'bootstrapServers'?",
        "workers: 'two' is not a whole number; write digits without quotes, like 2",
        "DEMO__DRAIN: 'soon' is not a duration; write a whole number and s, m, h or d, like '7d'",
        "kafka.tls: 'certFile' is there without 'keyFile'; add it, or remove 'certFile'",
    ]


def test_a_fault_below_what_the_environment_set_names_the_variable() -> None:
    [said] = faults(FILE, DEMO__SPEC="{streams: [{nam: clicks, name: clicks}]}")

    assert said.startswith("DEMO__SPEC.streams[0].nam: unknown field 'nam'")


@pytest.mark.parametrize("document", [[], "settings", 5])
def test_what_is_no_set_of_settings_is_said(document: object) -> None:
    [said] = faults(document)

    assert said.endswith("is not a set of settings; write name: value, each on its line")


def test_a_password_in_the_clear_is_refused() -> None:
    sasl = {"mechanism": "PLAIN", "username": "acme", "passwordFile": "/p"}

    [said] = faults({"kafka": {**FILE["kafka"], "sasl": sasl}})

    assert said.startswith("kafka.sasl: 'PLAIN' without tls shows the password to whoever listens")


def test_every_setting_is_listed_with_its_form_default_and_variable() -> None:
    listed = {setting.path: setting for setting in settings(Demo, "DEMO")}

    assert list(listed) == [
        *("spec", "kafka.bootstrapServers", "kafka.tls", "kafka.tls.caFile", "kafka.tls.certFile"),
        *("kafka.tls.keyFile", "kafka.sasl", "kafka.sasl.mechanism", "kafka.sasl.username"),
        *("kafka.sasl.passwordFile", "kafka.relaxed", "workers", "drain"),
    ]
    assert listed["drain"][1:4] == ("DEMO__DRAIN", "duration", "10s")
    assert listed["workers"][2:4] == ("number", "1")
    assert listed["kafka.relaxed"][2:4] == ("true | false", "false")
    assert listed["kafka.tls"][2:4] == ("fields", "")
    assert listed["kafka.bootstrapServers"].default == "required"
    assert all(setting.text for setting in listed.values())
    assert "kafka.sasl.mechanism  (SCRAM-SHA-512 | SCRAM-SHA-256 | PLAIN, default SCRAM" in (
        described(Demo, "DEMO")
    )


SASL = {"username": "acme-ingest", "passwordFile": "/p"}


@pytest.mark.parametrize(
    ("given", "protocol"),
    [
        ({}, "PLAINTEXT"),
        ({"tls": {}}, "SSL"),
        ({"sasl": SASL}, "SASL_PLAINTEXT"),
        ({"sasl": SASL, "tls": {}}, "SASL_SSL"),
    ],
)
def test_librdkafka_is_told_how_to_talk(given: Mapping[str, Any], protocol: str) -> None:
    found = client_settings(taken({"kafka": {**FILE["kafka"], **given}}).kafka, "s3cret")

    assert found["security.protocol"] == protocol
    assert found.get("sasl.password") == ("s3cret" if "sasl" in given else None)


def test_certificates_are_verified_whatever_is_set() -> None:
    tls = {"caFile": "/ca.pem", "certFile": "/cert.pem", "keyFile": "/key.pem"}

    found = client_settings(taken({"kafka": {**FILE["kafka"], "tls": tls}}).kafka, None)

    assert {name: text for name, text in found.items() if name.startswith("ssl.")} == {
        "ssl.ca.location": "/ca.pem",
        "ssl.certificate.location": "/cert.pem",
        "ssl.key.location": "/key.pem",
    }
