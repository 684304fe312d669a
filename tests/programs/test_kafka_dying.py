"""
A producer that dies: what its calls raise then is known, and it can be let go of.
"""

from collections.abc import Iterator

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

from mock_kafka import OUT_OF_ORDER_SEQUENCE, PRODUCE, MockKafka, mock_kafka
from trackmate_programs.kafka_dying import RAISED, error_of, let_go

TOPIC = "acme.events"


@pytest.fixture
def cluster() -> Iterator[MockKafka]:
    with mock_kafka(TOPIC) as cluster:
        yield cluster


@pytest.fixture
def dead(cluster: MockKafka) -> Producer:
    """It lost its sequence, and has told nobody yet."""
    producer = Producer(
        {
            "bootstrap.servers": cluster.bootstrap,
            "log_level": 0,
            "enable.idempotence": True,
            "linger.ms": 0,
            "batch.num.messages": 1,
        }
    )
    producer.produce(TOPIC, b"0")
    producer.flush(10)
    cluster.answer(PRODUCE, OUT_OF_ORDER_SEQUENCE)
    with pytest.raises(KafkaException, match="_FATAL"):
        produce_on(producer)
    return producer


def produce_on(producer: Producer) -> None:
    while True:
        producer.produce(TOPIC, b"1", on_delivery=lambda *_: None)


def test_what_a_dead_producer_raises_says_that_it_is_dead(dead: Producer) -> None:
    with pytest.raises(RAISED) as raised:
        dead.poll(10)

    assert error_of(raised.value).fatal()
    let_go(dead)


def test_where_a_report_came_in_the_same_call_its_cause_is_known() -> None:
    """As Python has it when a callback begins with an exception pending."""
    died_of = KafkaException(KafkaError(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, fatal=True))

    with pytest.raises(RAISED) as raised:
        raise SystemError("append returned a result with an exception set") from died_of

    assert error_of(raised.value) == died_of.args[0]


def test_a_dead_producer_is_let_go_of(dead: Producer) -> None:
    let_go(dead)

    with pytest.raises(RuntimeError, match="closed"):
        dead.flush(0)
