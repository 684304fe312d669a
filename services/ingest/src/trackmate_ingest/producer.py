"""
The producer of one process, on a thread of its own: how librdkafka's callbacks become futures.

The synchronous `Producer` of confluent-kafka, because its asyncio one carries no headers and is
late. One thread serves the delivery reports; whatever a poll brought wakes the event loop once.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import KafkaError, Message, Producer

from trackmate_programs.kafka_dying import RAISED, error_of, let_go

_POLL_S = 0.1  # how soon the thread sees that it is to end
_FLUSH_S = 8.0

_log = logging.getLogger("trackmate.ingest")

Settings = Mapping[str, Any]
"""Of librdkafka, by its own names."""


class Pending:
    """The events of one request that are not acknowledged yet."""

    __slots__ = ("_left", "_producer", "error", "future")

    def __init__(self, producer: "AckingProducer", events: int) -> None:
        self._producer = producer
        self._left = events
        self.error: KafkaError | None = None
        self.future: asyncio.Future[None] = producer.loop.create_future()

    def delivered(self, error: KafkaError | None, _: Message) -> None:
        """Called on the polling thread, once for each event. Must not raise: poll() would."""
        if error is not None:
            self.error = self.error or error
        self._left -= 1
        if not self._left:
            self._producer.settled(self)


class AckingProducer:
    """
    Made after the worker started: a producer does not survive a fork.

    `died` is called on the event loop when the producer can go on no more; whoever owns it makes
    another and closes this one.
    """

    def __init__(
        self, settings: Settings, died: Callable[["AckingProducer", KafkaError], None]
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self._died = died
        self._settled: list[Pending] = []
        self._ending = False
        self._said = ""
        self._producer = Producer({"log_level": 0, **settings, "error_cb": self._note})
        self._thread = threading.Thread(target=self._poll_on, name="kafka", daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        """How many events are not acknowledged yet."""
        return len(self._producer)

    @property
    def alive(self) -> bool:
        """Whether acknowledgements are still heard."""
        return self._thread.is_alive()

    @property
    def produce(self) -> Any:
        """As of confluent_kafka.Producer. Raises BufferError or KafkaException at once."""
        return self._producer.produce

    def _note(self, error: KafkaError) -> None:
        """What librdkafka complains of, each once in a row: it goes on trying by itself."""
        said = error.str()
        if said != self._said and not error.fatal():
            self._said = said
            _log.warning("Kafka", extra={"fields": {"error": said}})

    def settled(self, pending: Pending) -> None:
        """All reports of a request are there; told on the polling thread."""
        self._settled.append(pending)

    async def close(self) -> int:
        """Wait until what was produced is acknowledged, for so long; return what was not."""
        if self._ending:
            return 0
        left = await asyncio.to_thread(self._flush)
        self._ending = True
        await asyncio.to_thread(self._thread.join)
        await asyncio.to_thread(let_go, self._producer)  # else its connections live on
        return left

    def _flush(self) -> int:
        try:
            left: int = self._producer.flush(_FLUSH_S)
        except RAISED:  # it died: what was under way was told so
            return len(self._producer)
        return left

    def _poll_on(self) -> None:
        while not self._ending:
            self._poll()
        self._poll()

    def _poll(self) -> None:
        """Nothing may end this thread: who waits would wait for ever."""
        try:
            self._producer.poll(_POLL_S)
        except RAISED as fault:
            error = error_of(fault)
            if error.fatal():
                self._tell(lambda: self._died(self, error))
            else:
                _log.warning("polling failed", extra={"fields": {"error": error.str()}})
        except Exception:  # noqa: BLE001 - see above
            _log.exception("polling failed")
        if self._settled:
            settled, self._settled = self._settled, []
            self._tell(lambda: _wake(settled))

    def _tell(self, call: Callable[[], None]) -> None:
        try:
            self.loop.call_soon_threadsafe(call)
        except RuntimeError:  # the loop is closed: nobody waits any more
            self._settled.clear()


def _wake(settled: list[Pending]) -> None:
    for pending in settled:
        if not pending.future.done():
            pending.future.set_result(None)
