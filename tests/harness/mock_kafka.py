"""
librdkafka's own mock cluster: a TCP Kafka of three brokers inside this process, up in less than a
second, with errors and faults on demand. For what real brokers do there are real ones.

Its limits: no authentication, no ACLs, no retention; nothing is kept. Interface: `rdkafka_mock.h`.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import c_char_p, c_int, c_int16, c_int32, c_size_t, c_void_p
from importlib.util import find_spec
from pathlib import Path

PRODUCE, FETCH, LIST_OFFSETS, OFFSET_COMMIT = 0, 1, 2, 8
"""API keys, as of Kafka's protocol."""

NOT_ENOUGH_REPLICAS = 19
OUT_OF_ORDER_SEQUENCE = 45
OFFSET_NOT_AVAILABLE = 78
TOPIC_AUTHORIZATION_FAILED = 29
DISCONNECT = -195
"""As if the broker closed the connection in the middle of the request."""

_PRODUCER = 0
_BROKERS = 3


def _library() -> ctypes.CDLL:
    """The library that the package carries, beside it."""
    spec = find_spec("confluent_kafka")
    assert spec
    assert spec.origin
    [found] = (Path(spec.origin).parents[1] / "confluent_kafka.libs").glob("librdkafka*.so*")
    library = ctypes.CDLL(str(found))
    for name, result, *arguments in _FUNCTIONS:
        function = getattr(library, f"rd_kafka_{name}")
        function.restype, function.argtypes = result, arguments
    return library


_FUNCTIONS = [
    ("conf_new", c_void_p),
    ("new", c_void_p, c_int, c_void_p, c_char_p, c_size_t),
    ("destroy", None, c_void_p),
    ("mock_cluster_new", c_void_p, c_void_p, c_int),
    ("mock_cluster_destroy", None, c_void_p),
    ("mock_cluster_bootstraps", c_char_p, c_void_p),
    ("mock_topic_create", c_int, c_void_p, c_char_p, c_int, c_int),
    ("mock_push_request_errors_array", None, c_void_p, c_int16, c_size_t, c_void_p),
    ("mock_clear_request_errors", None, c_void_p, c_int16),
    ("mock_group_initial_rebalance_delay_ms", None, c_void_p, c_int32),
    ("mock_broker_set_down", c_int, c_void_p, c_int),
    ("mock_broker_set_up", c_int, c_void_p, c_int),
    ("mock_broker_set_rtt", c_int, c_void_p, c_int, c_int),
]


class MockKafka:
    """A running mock cluster."""

    def __init__(self) -> None:
        self._library = _library()
        error = ctypes.create_string_buffer(512)
        self._host = self._library.rd_kafka_new(
            _PRODUCER, self._library.rd_kafka_conf_new(), error, len(error)
        )
        assert self._host, error.value
        self._cluster = self._library.rd_kafka_mock_cluster_new(self._host, _BROKERS)
        self._library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, 0)

    @property
    def bootstrap(self) -> str:
        found: bytes = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster)
        return found.decode()

    def create(self, topic: str, *, partitions: int = 4) -> None:
        code = self._library.rd_kafka_mock_topic_create(
            self._cluster, topic.encode(), partitions, _BROKERS
        )
        assert code == 0, code

    def answer(self, api: int, *codes: int) -> None:
        """Answer the next requests of this kind with these errors, one each."""
        errors = (c_int * len(codes))(*codes)
        self._library.rd_kafka_mock_push_request_errors_array(
            self._cluster, api, len(codes), errors
        )

    def down(self) -> None:
        for broker in range(1, _BROKERS + 1):
            self._library.rd_kafka_mock_broker_set_down(self._cluster, broker)

    def up(self) -> None:
        for broker in range(1, _BROKERS + 1):
            self._library.rd_kafka_mock_broker_set_up(self._cluster, broker)

    def slow(self, milliseconds: int) -> None:
        """Let every answer take so long."""
        for broker in range(1, _BROKERS + 1):
            self._library.rd_kafka_mock_broker_set_rtt(self._cluster, broker, milliseconds)

    def close(self) -> None:
        self._library.rd_kafka_mock_cluster_destroy(self._cluster)
        self._library.rd_kafka_destroy(self._host)


@contextmanager
def mock_kafka(*topics: str) -> Iterator[MockKafka]:
    cluster = MockKafka()
    try:
        for topic in topics:
            cluster.create(topic)
        yield cluster
    finally:
        cluster.close()
