"""
How durations, sizes and times are written in YAML, and what they are in Python: seconds, bytes and
a `datetime`. Written once here, because the CRDs, the specs and the settings of every program share
the same three patterns.
"""

import re
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_CEILING, Decimal

DURATION = r"^[1-9][0-9]{0,8}[smhd]$"

SIZE = r"^[0-9]{1,12}(\.[0-9]{1,3})?([kMGT]|[KMGT]i)?$"

TIME = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?"
    r"([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
)

_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_POWERS = {prefix: power for power, prefix in enumerate("kMGT", start=1)}
_URL_CREDENTIALS = re.compile(r"//[^\s'\"]*@")
_URL_QUERY = re.compile(r"(://[^\s?#]*[?#]).+(.)$", re.DOTALL)
_LONGEST_QUOTE = 100


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST_MS = -62_135_596_800_000  # year 1 begins, the first moment of datetime and RFC 3339
_LATEST_MS = 253_402_300_799_000  # year 9999 ends, the last


def seconds(text: object) -> int:
    """
    >>> seconds("90s"), seconds("15m"), seconds("12h"), seconds("7d")
    (90, 900, 43200, 604800)
    >>> seconds("7 days")
    Traceback (most recent call last):
    ValueError: '7 days' is not a duration; write a whole number and s, m, h or d, like '7d'
    """
    if not isinstance(text, str) or not re.fullmatch(DURATION, text):
        raise ValueError(
            f"{quoted(text)} is not a duration; write a whole number and s, m, h or d, like '7d'"
        )
    return int(text[:-1]) * _SECONDS[text[-1]]


def octets(text: object) -> int:
    """
    The bytes of a Kubernetes quantity; a fraction of a byte counts as a byte, as it does there.

    >>> octets("64Ki"), octets("1G"), octets("1.5Mi"), octets(512)
    (65536, 1000000000, 1572864, 512)
    >>> octets("64KB")
    Traceback (most recent call last):
    ValueError: '64KB' is not a size; write a number and Ki, Mi or Gi (or k, M, G), like '64Ki'
    """
    if isinstance(text, int) and not isinstance(text, bool) and text >= 0:
        return text
    if not isinstance(text, str) or not re.fullmatch(SIZE, text):
        raise ValueError(
            f"{quoted(text)} is not a size; write a number and Ki, Mi or Gi (or k, M, G), "
            "like '64Ki'"
        )
    number = text.rstrip("kKMGTi")
    suffix = text[len(number) :]
    unit = 1024 if suffix.endswith("i") else 1000
    power = _POWERS[suffix[0].replace("K", "k")] if suffix else 0
    return int((Decimal(number) * unit**power).to_integral_value(ROUND_CEILING))


def instant(text: object) -> datetime:
    """
    An RFC 3339 time. YAML readers that make a `datetime` of one by themselves are welcome.

    >>> instant("2026-11-01T00:00:00Z")
    datetime.datetime(2026, 11, 1, 0, 0, tzinfo=datetime.timezone.utc)
    """
    cure = "write it with its zone, like '2026-11-01T00:00:00Z'"
    if isinstance(text, datetime) and text.tzinfo:
        return text
    if not isinstance(text, str) or not re.fullmatch(TIME, text):
        raise ValueError(f"{quoted(text)} is not a time; {cure}")
    try:
        return datetime.fromisoformat(text.upper())
    except ValueError:
        raise ValueError(f"{quoted(text)} is not a day of the calendar; {cure}") from None


def epoch_ms(moment: datetime) -> int:
    """
    Milliseconds since 1970, exactly: a float would put some of them a millisecond too early.

    >>> epoch_ms(instant("1970-01-01T00:00:01.001Z"))
    1001
    """
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def rfc3339(at_ms: int, *, timespec: str = "seconds") -> str:
    """
    A moment, or the nearest that RFC 3339 can write; `timespec` as of `datetime.isoformat`.

    >>> rfc3339(0), rfc3339(-(10**18), timespec="milliseconds")
    ('1970-01-01T00:00:00Z', '0001-01-01T00:00:00.000Z')
    """
    since = timedelta(milliseconds=min(max(at_ms, _EARLIEST_MS), _LATEST_MS))
    return (_EPOCH + since).isoformat(timespec=timespec).replace("+00:00", "Z")


def quoted(value: object) -> str:
    """
    A value as a message may repeat it: cut when it is long, and without what is secret in a URL.

    >>> quoted("postgres://user:secret@db/events?sslpassword=secret")
    "'postgres://…@db/events?…'"
    >>> quoted(date(2026, 11, 1))
    "'2026-11-01'"
    """
    plain = str(value) if isinstance(value, date) else value
    text = _URL_QUERY.sub(r"\1…\2", _URL_CREDENTIALS.sub("//…@", repr(plain)))
    return text if len(text) <= _LONGEST_QUOTE else text[:_LONGEST_QUOTE] + "…"
