"""
How large what is written to Kafka may be, in bytes. Kafka holds a topic's `max.message.bytes`
against a whole batch, as it is compressed, and not against one record.
"""

BATCH = 1_000_000
"""What producers put into one batch at most: librdkafka's own `batch.size`."""
LARGEST = (8 << 20) + (16 << 10)
"""The largest event that an Affiliate can allow, with its headers and its batch."""
LARGEST_LETTER = 16 << 20
"""`max.message.bytes` of dead letters: an event that was taken under other limits stays one."""
_HEADERS = 16 << 10  # that an event's headers may add to it, and its batch around it
_KAFKAS_OWN = 1_048_588  # max.message.bytes of a topic that says nothing: more than a batch


def largest_batch(event_bytes: int) -> int:
    """
    `max.message.bytes` of a stream whose events have so many at most.

    >>> largest_batch(65_536), largest_batch(8 << 20) == LARGEST
    (1048588, True)
    """
    return max(_KAFKAS_OWN, event_bytes + _HEADERS)
