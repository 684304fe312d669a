"""
What an error of Kafka means for the documents that were being written, in words of ours: those of
librdkafka have the addresses that a name led to.
"""

from collections.abc import Sequence

from confluent_kafka import KafkaError

from trackmate_consume.sink import Down, Refused, Unfit
from trackmate_consume.sinks.kafka_login import PATH as CREDENTIALS

SERVERS = "spec.sink.kafka.bootstrapServers"
TOPIC = "spec.sink.kafka.topic"

_REFUSED = {
    KafkaError.MSG_SIZE_TOO_LARGE: "the document is larger than the topic takes; raise its "
    "max.message.bytes, or make the document smaller in a transform",
    KafkaError.INVALID_RECORD: "the topic does not take such a record; a compacted topic takes "
    "none without a key",
}
"""About the event; its neighbours may be taken."""

# they have no other names
_AUTHENTICATION = KafkaError._AUTHENTICATION  # noqa: SLF001
_SSL = KafkaError._SSL  # noqa: SLF001
_ALL_BROKERS_DOWN = KafkaError._ALL_BROKERS_DOWN  # noqa: SLF001
_UNKNOWN = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.TOPIC_EXCEPTION,
        KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001
        KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
    }
)
_LATE = frozenset(
    {
        KafkaError._TIMED_OUT,  # noqa: SLF001
        KafkaError._MSG_TIMED_OUT,  # noqa: SLF001
        KafkaError._TIMED_OUT_QUEUE,  # noqa: SLF001
    }
)

FINAL = frozenset({_AUTHENTICATION, _SSL})
"""Complaints after which no later one says more."""


def refused(errors: Sequence[KafkaError]) -> Refused | None:
    """Of the errors of a batch; None unless all of them are about its events."""
    if not errors or any(error.code() not in _REFUSED for error in errors):
        return None
    error = errors[0]
    return Refused(f"answered {error.name()}: {_REFUSED[error.code()]}")


def unfit(error: KafkaError, topic: str, mechanism: str) -> Unfit | None:
    """
    What of the declaration or of the rights is at fault; None where nothing is.

    >>> unfit(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART), "orders", "")
    Unfit("Kafka has no topic 'orders'; make it, or mend the name")
    """
    code = error.code()
    if code in _UNKNOWN:
        return Unfit(TOPIC, f"Kafka has no topic {topic!r}; make it, or mend the name")
    if code == KafkaError.TOPIC_AUTHORIZATION_FAILED:
        return not_allowed(topic)
    if code == KafkaError.CLUSTER_AUTHORIZATION_FAILED:
        return Unfit(
            CREDENTIALS,
            "Kafka does not let the user write without repeats; allow it IdempotentWrite on the "
            "cluster, which brokers before 2.8 ask for",
        )
    if code in {_AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED}:
        return Unfit(
            CREDENTIALS,
            f"Kafka does not take the user with the password by {mechanism or 'no login'}; mend "
            "the Secret, or the user in Kafka",
        )
    return None


def not_allowed(topic: str) -> Unfit:
    return Unfit(
        TOPIC,
        f"Kafka does not let the user write to the topic {topic!r}; allow it Write on it, or mend "
        "the name",
    )


def down(errors: Sequence[KafkaError]) -> Down:
    """
    Of what was answered and complained of, the first that says most.

    >>> down([KafkaError(KafkaError._MSG_TIMED_OUT)])
    Down('no acknowledgement in time')
    """
    telling = [one for one in errors if one.code() not in {_ALL_BROKERS_DOWN, *_LATE}]
    final = [one for one in telling if one.code() in FINAL]
    for error in (*final, *telling):
        return Down(_words(error))
    return Down("no acknowledgement in time")


def _words(error: KafkaError) -> str:
    if error.fatal():
        return f"the producer cannot go on ({error.name()}); another is made"
    if error.code() == _SSL:
        return _certificate_words(error.str())
    return _WORDS.get(error.code(), f"answered {error.name()}")


def _certificate_words(said: str) -> str:
    if "certificate verify failed" in said:
        return (
            "its certificate is not for this name, or not of a known authority; put that under "
            "ca.crt into the Secret to trust it"
        )
    return "no TLS connection came about; without TLS there, write tls: false into the Secret"


_WORDS = {
    KafkaError._TRANSPORT: "cannot be connected to, or closes the connection: it may be down, or "  # noqa: SLF001
    "want TLS or a login",
    KafkaError._RESOLVE: "its name leads nowhere",  # noqa: SLF001
    KafkaError.NOT_ENOUGH_REPLICAS: "the topic has too few replicas in sync",
    KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND: "the topic has too few replicas in sync",
}
