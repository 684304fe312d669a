"""
What the operator of a cluster says of itself, wherever it runs.
"""

from trackmate.errors import Declined
from trackmate_operator.cluster import Cluster
from trackmate_operator.kinds import CONFIG_MAP, Ref
from trackmate_operator.platform import Platform
from trackmate_operator.published import LABEL, NAME, platform_of
from trackmate_operator.settings import NAMESPACE


class Unpublished(Declined):
    """No operator has said anything."""


async def platform(cluster: Cluster) -> Platform:
    """What it gives to every affiliate, without secrets. Raises Declined."""
    found = await cluster.get(Ref(CONFIG_MAP, NAME, NAMESPACE))
    if found is None:  # then it runs elsewhere
        found = next(iter(await cluster.list(CONFIG_MAP, labels=LABEL)), None)
    if found is None:
        raise Unpublished(
            f"No operator works on this cluster, or none did yet: the ConfigMap {NAME!r} that it "
            "writes is in no namespace. Install it, or read its log."
        )
    try:
        return platform_of(found)
    except ValueError as why:
        raise Unpublished(
            f"The ConfigMap {NAME!r} was written by another version, or by hand: {why}. Delete it "
            "and start the operator anew."
        ) from None
