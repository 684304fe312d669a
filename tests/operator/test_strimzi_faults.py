"""
The operator while Strimzi fails, is slow, is away, or is held up by somebody: the status names the
object and the cure, nothing is lost, and it heals by itself. With the stand-in, which can be told
to be so.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from control_plane import ControlPlane
from kafka_broker import Cluster
from operating import Operating, blocked, condition, operating, topics, users, wait_for
from strimzi_kafka import InKafka
from strimzi_reached import Reached
from strimzi_standin import NAME, NAMESPACE, StandIn, make_kafka, strimzi
from tenants import affiliate
from waiting_for import wait_until

pytestmark = [pytest.mark.needs("cluster"), pytest.mark.needs("kafka"), pytest.mark.timeout(300)]

LONG_S = 100.0  # the operator looks again ever more rarely
NEVER_S = 1e9


@pytest.fixture(scope="module")
def running(plane: ControlPlane, kafka: Cluster) -> Iterator[StandIn]:
    with strimzi(plane, kafka) as found:
        yield found


@pytest.fixture
def standin(running: StandIn) -> Iterator[StandIn]:
    """It is well before and after."""
    yield running
    for one in (running.topics, running.users):
        one.on, one.failing, one.slow_s, one.full_pass_s = True, "", 0.0, 2.0


@pytest.fixture(scope="module")
def at(plane: ControlPlane, kafka: Cluster, running: StandIn) -> Reached:
    return Reached(plane, kafka, NAME, NAMESPACE)


@pytest.fixture(scope="module")
def operator(at: Reached, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operating]:
    home = tmp_path_factory.mktemp("operator")
    with operating(home, at.plane, at.kafka, **at.settings) as found:
        yield found


def applied(at: Reached, name: str, **spec: Any) -> None:
    at.plane.apply(affiliate(name, **spec))


def ready(at: Reached, name: str) -> None:
    wait_until(
        lambda: condition(at.plane.read("affiliate", name))[0] == "True",
        f"{name} is Ready",
        seconds=LONG_S,
    )


def says(at: Reached, name: str, about: str, reason: str, words: str) -> None:
    """Until the condition has this reason and these words."""

    def said() -> bool:
        found = condition(at.plane.read("affiliate", name), about)
        return found[1] == reason and words in found[2]

    wait_until(said, f"{about} says {words!r}", seconds=LONG_S)


def test_a_topic_operator_that_fails_is_quoted(
    at: Reached, standin: StandIn, operator: Operating
) -> None:
    standin.topics.failing = "The broker is on fire."
    applied(at, "burning")
    says(
        at,
        "burning",
        "TopicsReady",
        "KafkaRefused",
        "Strimzi's Topic Operator cannot make KafkaTopic 'burning.events' in namespace kafka: "
        "KafkaError: The broker is on fire; see whether Kafka's brokers are well",
    )
    standin.topics.failing = ""
    ready(at, "burning")


def test_a_user_operator_that_fails_is_quoted(
    at: Reached, standin: StandIn, operator: Operating
) -> None:
    standin.users.failing = "Simple authorization is not enabled."
    applied(at, "unauthorized")
    says(
        at,
        "unauthorized",
        "CredentialsReady",
        "KafkaRefused",
        "Strimzi's User Operator cannot make KafkaUser 'unauthorized-ingest' in namespace kafka: "
        "InvalidResourceException: Simple authorization is not enabled; enable SCRAM-SHA-512",
    )
    standin.users.failing = ""
    ready(at, "unauthorized")


def test_a_slow_strimzi_is_waited_for(at: Reached, standin: StandIn, operator: Operating) -> None:
    standin.topics.slow_s = standin.users.slow_s = 3.0
    applied(at, "patient")
    waits = "KafkaTopic 'patient.events' in namespace kafka waits for Strimzi's Topic Operator."
    says(at, "patient", "TopicsReady", "KafkaAwaited", waits)
    ready(at, "patient")


def test_nobody_who_answers_is_said_with_who_that_is(
    at: Reached, standin: StandIn, operator: Operating
) -> None:
    standin.topics.on = standin.users.on = False
    applied(at, "unheard")
    says(
        at,
        "unheard",
        "TopicsReady",
        "KafkaAwaited",
        "KafkaTopic 'unheard.events' in namespace kafka waits for Strimzi's Topic Operator, which "
        "does not answer: see that the Topic Operator of the Kafka 'events' in namespace kafka "
        "runs",
    )
    says(at, "unheard", "CredentialsReady", "KafkaAwaited", "'unheard-ingest'")
    standin.topics.on = standin.users.on = True
    ready(at, "unheard")


@pytest.mark.parametrize(
    ("annotation", "word"),
    [("strimzi.io/managed=false", "unmanaged"), ("strimzi.io/pause-reconciliation=true", "paused")],
)
def test_a_topic_that_somebody_holds_is_named_until_they_let_it(
    at: Reached, standin: StandIn, operator: Operating, annotation: str, word: str
) -> None:
    name = f"held-{word}"
    applied(at, name)
    ready(at, name)
    at.annotate("kafkatopic", f"{name}.events", annotation)
    says(
        at,
        name,
        "TopicsReady",
        "KafkaAwaited",
        f"KafkaTopic '{name}.events' in namespace kafka is {word}; take its annotation",
    )
    at.annotate("kafkatopic", f"{name}.events", annotation.split("=", maxsplit=1)[0] + "-")
    ready(at, name)


def test_what_strimzi_calls_ready_and_kafka_has_otherwise_is_not_ready(
    at: Reached, standin: StandIn, operator: Operating
) -> None:
    applied(at, "stale")
    ready(at, "stale")
    standin.topics.full_pass_s = NEVER_S
    entry = ConfigEntry("retention.ms", "1000", incremental_operation=AlterConfigOpType.SET)
    change = ConfigResource(ResourceType.TOPIC, "stale.events", incremental_configs=[entry])
    admin = at.kafka.admin()
    [done] = admin.incremental_alter_configs([change]).values()
    done.result(timeout=20)
    says(
        at,
        "stale",
        "TopicsReady",
        "KafkaAwaited",
        "KafkaTopic 'stale.events' in namespace kafka is Ready, and Kafka has retention.ms=1000",
    )
    standin.topics.full_pass_s = 2.0
    ready(at, "stale")


@pytest.mark.parametrize("kind", ["topic", "user"])
def test_a_resource_that_is_not_ours_is_left_alone_until_it_is_handed_over(
    at: Reached, standin: StandIn, operator: Operating, kind: str
) -> None:
    whose = f"foreign-{kind}"
    name = f"{whose}.events" if kind == "topic" else f"{whose}-ingest"
    theirs = at.topic(name, partitions=2) if kind == "topic" else at.user(name, topic="theirs")
    if kind == "topic":  # told to let go of, so that there is no topic: that would be a stranger's
        theirs["metadata"]["annotations"] = {"strimzi.io/managed": "false"}
    at.plane.apply(theirs)
    before = at.read(f"kafka{kind}", name)["spec"]
    applied(at, whose)

    message = blocked(at.plane, whose, "KafkaRefused")

    assert message == (
        f"Kafka{kind.capitalize()} {name!r} in namespace kafka is there and not of affiliate "
        f"{whose!r}; rename or remove it, or label it trackmate.io/affiliate={whose} to hand it "
        "over."
    )
    assert at.read(f"kafka{kind}", name)["spec"] == before
    at.annotate(f"kafka{kind}", name, "strimzi.io/managed-")
    label = f"trackmate.io/affiliate={whose}"
    at.plane.kubectl("label", f"kafka{kind}", name, "-n", at.namespace, label)
    ready(at, whose)


def test_a_secret_of_that_name_is_not_written_over(
    at: Reached, standin: StandIn, operator: Operating
) -> None:
    at.plane.kubectl(
        *("create", "secret", "generic", "covered-ingest", "-n", at.namespace),
        "--from-literal=theirs=1",
    )
    applied(at, "covered")
    message = blocked(at.plane, "covered", "KafkaRefused")
    assert message.startswith(
        "Secret 'covered-ingest' in namespace kafka is there and not Strimzi's"
    )
    assert [*at.read("secret", "covered-ingest")["data"]] == ["theirs"]
    at.delete("secret", "covered-ingest")
    ready(at, "covered")


def test_without_its_kafka_nothing_is_touched_and_the_status_says_so(
    at: Reached, standin: StandIn, operator: Operating
) -> None:
    applied(at, "homeless")
    ready(at, "homeless")
    before = {one for one in users(at.kafka) if one.startswith("homeless")}
    at.delete("kafka", NAME)
    says(
        at,
        "homeless",
        "TopicsReady",
        "KafkaDown",
        "There is no Kafka 'events' in namespace kafka; apply it, or name another",
    )
    assert at.read("kafkatopic", "homeless.events")
    assert {one for one in users(at.kafka) if one.startswith("homeless")} == before
    make_kafka(at.plane, standin.topics.kafka.cluster_id())
    ready(at, "homeless")


# while it is deleted


def test_data_stays_though_nobody_answers_and_the_resource_goes_later(
    at: Reached, standin: StandIn, operator: Operating
) -> None:
    applied(at, "parted", id="af-1")
    ready(at, "parted")
    standin.topics.on = False
    at.plane.kubectl("delete", "affiliate", "parted", "--timeout=60s")
    left = at.read("kafkatopic", "parted.events")
    assert left["metadata"]["annotations"]["strimzi.io/managed"] == "false"
    assert "deletionTimestamp" in left["metadata"]
    applied(at, "parted", id="af-1")
    says(
        at,
        "parted",
        "TopicsReady",
        "KafkaAwaited",
        "KafkaTopic 'parted.events' in namespace kafka is being deleted, and Strimzi's Topic "
        "Operator is still to agree",
    )
    topic_id = _topic_id(at, "parted.events")
    standin.topics.on = True
    ready(at, "parted")
    assert _topic_id(at, "parted.events") == topic_id
    assert at.read("kafkatopic", "parted.events")["status"]["topicId"] == topic_id


def _topic_id(at: Reached, name: str) -> str:
    found = InKafka(at.kafka).topic(name)
    assert found
    return found.id


def test_an_affiliate_is_not_gone_while_its_users_can_log_in(
    at: Reached, standin: StandIn, operator: Operating
) -> None:
    applied(at, "lingering")
    ready(at, "lingering")
    standin.users.on = False
    at.plane.kubectl("delete", "affiliate", "lingering", "--wait=false")
    says(
        at,
        "lingering",
        "Deleting",
        "KafkaDown",
        "Strimzi's User Operator has not taken the users of 'lingering' out of Kafka yet",
    )
    assert "lingering-ingest" in users(at.kafka)
    standin.users.on = True
    at.plane.kubectl("wait", "--for=delete", "affiliate/lingering", "--timeout=100s")
    assert "lingering-ingest" not in users(at.kafka)


def test_a_user_that_somebody_else_made_under_such_a_name_holds_up_no_end(
    at: Reached, standin: StandIn, operator: Operating
) -> None:
    applied(at, "haunted")
    ready(at, "haunted")
    at.plane.apply(at.user("haunted.tool"))
    wait_until(lambda: "haunted.tool" in users(at.kafka), "it can log in", seconds=at.answered_s)

    at.plane.kubectl("delete", "affiliate", "haunted", "--timeout=60s")

    assert {one for one in users(at.kafka) if one.startswith("haunted")} == {"haunted.tool"}
    at.delete("kafkauser", "haunted.tool")


def test_a_confirmed_delete_waits_for_who_is_to_remove_the_data(
    at: Reached, standin: StandIn, operator: Operating
) -> None:
    applied(at, "doomed", deletionPolicy="Delete")
    ready(at, "doomed")
    standin.topics.on = False
    at.plane.kubectl("annotate", "affiliate", "doomed", "trackmate.io/confirm-delete=doomed")
    at.plane.kubectl("delete", "affiliate", "doomed", "--wait=false")
    says(
        at,
        "doomed",
        "Deleting",
        "KafkaDown",
        "KafkaTopic 'doomed.events' in namespace kafka is being deleted, and waits for Strimzi's "
        "Topic Operator",
    )
    standin.topics.on = True
    at.plane.kubectl("wait", "--for=delete", "affiliate/doomed", "--timeout=100s")
    assert "doomed.events" not in topics(at.kafka)


def test_whoever_changes_it_all_the_time_is_named_and_not_fought(
    at: Reached, standin: StandIn, operator: Operating
) -> None:
    applied(at, "fought")
    ready(at, "fought")
    patch = {"spec": {"config": {"retention.ms": "1000"}}}

    def changed() -> None:
        at.plane.kubectl(
            *("patch", "kafkatopic", "fought.events", "-n", at.namespace, "--type=merge"),
            *("-p", json.dumps(patch), "--field-manager=night-shift"),
        )

    changed()
    wait_for(lambda: at.plane.read("affiliate", "fought"), about="Drifted", reason="Mended")
    changed()
    found = wait_for(
        lambda: at.plane.read("affiliate", "fought"), about="Drifted", reason="ChangedAgain"
    )
    assert condition(found, "Drifted")[2] == (
        "KafkaTopic 'fought.events' in namespace kafka was changed again by 'night-shift'; it is "
        "mended once a minute. Stop whoever applies it, or change the Affiliate instead."
    )
