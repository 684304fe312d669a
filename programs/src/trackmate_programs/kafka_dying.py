"""
How a producer of confluent-kafka dies: its fatal error is raised by whatever call serves callbacks
next, `close` included. Where the same call brings a delivery report, Python finds that exception
pending behind the report's callback, and makes a SystemError of it, if it is lucky with its cause.
"""

from contextlib import suppress

from confluent_kafka import KafkaError, KafkaException, Producer

RAISED = (KafkaException, SystemError)
"""What a call on a producer raises that died, or was refused something."""


def error_of(fault: Exception) -> KafkaError:
    """
    What librdkafka says of one of `RAISED`; that it was fatal, where that was lost.

    >>> error_of(KafkaException(KafkaError(KafkaError._MSG_TIMED_OUT))).name()
    '_MSG_TIMED_OUT'
    """
    said = fault if isinstance(fault, KafkaException) else fault.__cause__
    if isinstance(said, KafkaException):
        error: KafkaError = said.args[0]
        return error
    return KafkaError(KafkaError._FATAL, fatal=True)  # noqa: SLF001 - it has no other name


def let_go(producer: Producer) -> None:
    """
    Close it, dead or alive: it is gone also where closing raises. What is under way is given up;
    `close` alone would wait for it, at a dead one for minutes.
    """
    producer.purge()
    with suppress(*RAISED):
        producer.close()
