"""
A pipeline's standing on Kafka: what it reads, what it has put aside and sends again, and its books.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from trackmate_consume.kafka_groups import Groups
from trackmate_consume.kafka_ledger import Edges, faults_of, line_of
from trackmate_consume.kafka_letterbox import KafkaLetterbox, Settings
from trackmate_consume.kafka_letters import KafkaLetters
from trackmate_consume.kafka_positions import Pause, Position
from trackmate_consume.kafka_reading import Reading
from trackmate_consume.kafka_replays import AnsweringSource, Asking, KafkaReplays, Ways
from trackmate_consume.kafka_source import Figures, KafkaSource
from trackmate_consume.ledger import Line, Place


class Books(NamedTuple):
    """A pipeline's line of the ledger, and what of it is not really there, in words."""

    line: Line
    faults: tuple[str, ...]


class KafkaStanding:
    """What `trackmate_consume.pipeline.Parts` needs of Kafka, for one pipeline."""

    def __init__(
        self,
        reading: Reading,
        settings: Settings,
        groups: Groups,
        asking: Asking,
        holds: Callable[[Pause], bool] = bool,
    ) -> None:
        """`holds` is as for `KafkaSource`."""
        self.reading = reading
        self._holds = holds
        self._settings = settings
        self._groups = groups
        self.letters = KafkaLetters(reading.affiliate, reading.pipeline, settings)
        self.box = KafkaLetterbox(reading.affiliate, reading.pipeline, settings)
        ways = Ways(reading, settings, groups, self.letters, self.box)
        self.replays = KafkaReplays(ways, asking)
        self._source: KafkaSource | None = None

    def source(self) -> AnsweringSource:
        """Where it reads, from what was committed on."""
        self._source = KafkaSource(self.reading, self._settings(), self._holds)
        return AnsweringSource(self._source, self.letters, self.box, counted=False)

    @property
    def figures(self) -> Figures:
        """Of the partitions that are read here."""
        return Figures({}, {}, None) if self._source is None else self._source.figures

    async def keep_pause(self, pause: Pause | None) -> None:
        """
        Write beside the positions that are read here that the pipeline is paused, or is no more.
        Raises Down, and Ended.
        """
        if self._source is not None:
            await self._source.keep_pause(pause)

    def renew(self, user: str, password: str) -> None:
        """Log in with these from the next connection on; blocks for a moment."""
        if self._source is not None:
            self._source.renew(user, password)
        self.letters.renew()
        self._groups.close()

    def books(self, positions: Mapping[Place, Position], edges: Edges, letters_end: int) -> Books:
        """From what its group committed. Blocks; raises Down."""
        with self.box.read(letters_end) as box:
            line = line_of(self.reading, positions, edges, box)
            letters = None if self.box.lost else box.dead
            faults = tuple(faults_of(line, positions, edges, letters=letters))
            return Books(line, faults)

    def close(self) -> None:
        """Let go of the connections that no source holds."""
        self.letters.close()
