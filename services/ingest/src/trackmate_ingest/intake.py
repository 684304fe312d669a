"""
What ingest needs of each affiliate, made ready for the hot path; and which of them a request means.

A `Directory` is replaced as a whole when settings change, so a request sees one state of affairs.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from trackmate_contract.affiliate import AffiliateSpec, Limits, Privacy
from trackmate_ingest import problems
from trackmate_ingest.keys import KeyRing, WriteKey, is_loopback
from trackmate_ingest.log import Log
from trackmate_ingest.problems import Refused
from trackmate_ingest.rates import Bucket
from trackmate_ingest.slicing import Slicer

_MOST_SPELLINGS = 1024  # of host names that are remembered; a loopback name has very many
_HOST = re.compile(rb"(?P<name>\[[0-9a-fA-F:.]+\]|[^\[\]:@/?#\s]+)(?::\d{1,5})?")


@dataclass(frozen=True, slots=True)
class Rate:
    """Requests and bytes: one pair of buckets of an affiliate or of a key."""

    requests: Bucket
    bytes: Bucket
    whose: str

    @classmethod
    def of(cls, requests: float, size: float, *, whose: str, now: float) -> "Rate":
        return cls(Bucket(requests, now), Bucket(size, now), whose)


class Intake:
    """
    One affiliate, ready to take events. Of several processes for one affiliate, each lets its
    `share` of the rates through: they know nothing of each other.
    """

    def __init__(
        self,
        name: str,
        spec: AffiliateSpec,
        *,
        keys: Sequence[WriteKey],
        log: Log,
        now: float,
        share: float = 1.0,
    ) -> None:
        self.name = name
        self.hosts = tuple(spec.ingest.hosts)
        self.limits: Limits = spec.ingest.limits
        self.privacy: Privacy = spec.ingest.privacy
        self.keys = tuple(keys)
        self.log = log
        self.slicers: Mapping[str, Slicer] = {
            stream.name: Slicer(
                stream.id_from,
                stream.partition_by,
                max_events=self.limits.batch_events,
                max_event_bytes=self.limits.event_bytes,
            )
            for stream in spec.streams
        }
        self.default_stream = "events" if "events" in self.slicers else spec.streams[0].name
        self._rate = Rate.of(
            self.limits.requests_per_second * share,
            self.limits.bytes_per_second * share,
            whose=f"affiliate {name!r}",
            now=now,
        )
        self._rates = {key.value: self._rates_of(key, share, now) for key in self.keys}

    def rates(self, key: WriteKey) -> tuple[Rate, ...]:
        """The rates a request under this key counts against."""
        return self._rates[key.value]

    def _rates_of(self, key: WriteKey, share: float, now: float) -> tuple[Rate, ...]:
        if key.requests_per_second is None and key.bytes_per_second is None:
            return (self._rate,)
        own = Rate.of(
            (key.requests_per_second or self.limits.requests_per_second) * share,
            (key.bytes_per_second or self.limits.bytes_per_second) * share,
            whose=f"key {key.name!r}",
            now=now,
        )
        return (own, self._rate)


Found = tuple[WriteKey, Intake]


class Directory:
    """Which affiliates a host name means."""

    def __init__(self, intakes: Iterable[Intake], *, loopback: bool = False) -> None:
        """With `loopback`, hosts that mean this machine take every affiliate's keys."""
        self.intakes = tuple(intakes)
        self.loopback = loopback
        everyone = KeyRing((key, intake) for intake in self.intakes for key in intake.keys)
        self._loopback_ring = everyone if loopback else None
        self._rings = {
            host: KeyRing((key, intake) for key in intake.keys)
            for intake in self.intakes
            for host in intake.hosts
        }
        self._seen: dict[bytes, KeyRing[Intake]] = {}
        self.widest = _widest([intake.limits for intake in self.intakes])
        """The limits of a request whose affiliate is not known yet."""

    def ring(self, host: bytes) -> KeyRing[Intake]:
        """The keys that this Host header accepts. Raises Refused, 400 or 421."""
        ring = self._seen.get(host)
        if ring is None:
            ring = self._look_up(host)
            if len(self._seen) < _MOST_SPELLINGS:
                self._seen[host] = ring
        return ring

    def _look_up(self, host: bytes) -> KeyRing[Intake]:
        name = host_name(host)
        ring = self._rings.get(name)
        if ring is None and self._loopback_ring is not None and is_loopback(name):
            ring = self._loopback_ring
        if ring is None:
            raise Refused(
                problems.MISDIRECTED,
                f"No affiliate here has the host {name!r}. Send to one of the hosts in the "
                "affiliate's spec.ingest.hosts.",
            )
        return ring


def host_name(host: bytes) -> str:
    """
    The name in a Host header. Raises Refused, 400.

    >>> host_name(b"Acme.track.example.com.:443"), host_name(b"[::1]:8080")
    ('acme.track.example.com', '::1')
    """
    match = _HOST.fullmatch(host)
    if match is None:
        raise Refused(
            problems.BAD_REQUEST,
            f"The Host header {host.decode('latin-1')!r} is not a host name. "
            "Send exactly one, as RFC 9112 3.2 asks.",
        )
    return match["name"].decode("latin-1").strip("[]").rstrip(".").lower()


def _widest(limits: Sequence[Limits]) -> Limits:
    if not limits:
        return Limits()
    return limits[0].model_copy(
        update={
            "body_bytes": max(each.body_bytes for each in limits),
            "body_timeout_s": max(each.body_timeout_s for each in limits),
        }
    )
