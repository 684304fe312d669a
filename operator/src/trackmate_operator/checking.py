"""
What would keep the operator from working, before it begins.
"""

from trackmate_operator.cluster import Cluster
from trackmate_operator.configuration import Configuration
from trackmate_operator.kafka.admin import Admin
from trackmate_operator.kafka.foreign import user_operators
from trackmate_operator.kinds import AFFILIATE, CRD, KAFKA, PIPELINE, Ref


async def faults(configuration: Configuration, cluster: Cluster, admin: Admin) -> list[str]:
    """A sentence each. Raises Unanswered, Denied and Down where nobody answers."""
    found = []
    for kind in (AFFILIATE, PIPELINE):
        name = f"{kind.plural}.trackmate.io"
        if await cluster.get(Ref(CRD, name)) is None:
            found.append(
                f"The API server does not know {name}; apply the files in crds/, or install the "
                "chart trackmate-crds."
            )
    cluster_id = await admin.cluster_id()
    if configuration.platform.settings.strimzi is None:
        found += [
            f"Strimzi's User Operator of {where} works on this Kafka: it would remove the users "
            "that the operator makes; name that cluster in the setting strimzi."
            for where in user_operators(await cluster.list(KAFKA), cluster_id)
        ]
    return found
