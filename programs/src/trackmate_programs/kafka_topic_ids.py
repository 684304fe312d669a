"""
The ids that Kafka gives topics, as its own tools and Strimzi show them: in the alphabet for URLs.
"""


def url_safe(topic_id: str) -> str:
    """
    From what librdkafka makes of it: one of three has a slash, which no name of a file may.

    >>> url_safe("Ok3JnolTQ/uGuez1+nRBVg")
    'Ok3JnolTQ_uGuez1-nRBVg'
    """
    return topic_id.replace("+", "-").replace("/", "_")
