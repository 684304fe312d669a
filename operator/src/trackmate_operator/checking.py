"""
What would keep the operator from working, before it begins.
"""

from trackmate_operator.cluster import Cluster
from trackmate_operator.configuration import Configuration
from trackmate_operator.kafka.admin import Admin
from trackmate_operator.kafka.foreign import user_operators
from trackmate_operator.kafka.strimzi_there import elsewhere, what_is_missing
from trackmate_operator.kinds import AFFILIATE, CRD, KAFKA, PIPELINE, Ref, serves
from trackmate_operator.tenant import Document


async def faults(configuration: Configuration, cluster: Cluster, admin: Admin) -> list[str]:
    """A sentence each. Raises Unanswered, Denied and Down where nobody answers."""
    found = [*await _resources(cluster)]
    strimzi, cluster_id = configuration.platform.settings.strimzi, await admin.cluster_id()
    if strimzi is None:
        found += [
            f"Strimzi's User Operator of {where} works on this Kafka: it would remove the users "
            "that the operator makes; name that cluster in the setting strimzi."
            for where in user_operators(await cluster.list(KAFKA), cluster_id)
        ]
        return found
    missing = await what_is_missing(cluster, strimzi)
    kafka = None if missing else await cluster.get(Ref(KAFKA, strimzi.cluster, strimzi.namespace))
    return [*found, *missing, *elsewhere(kafka, cluster_id, strimzi)]


_STATUS = {
    AFFILIATE: {
        *("pinned", "id", "namespace", "endpoint", "keySecret"),
        *("streams", "retained", "conditions"),
    },
    PIPELINE: {"conditions"},
}
"""What the operator writes: of what a CRD does not know, the API server keeps nothing."""
_CURE = "apply the files in crds/ of this version."


async def _resources(cluster: Cluster) -> list[str]:
    found = []
    for kind, fields in _STATUS.items():
        name = kind.resource
        crd = await cluster.get(Ref(CRD, name))
        if crd is None:
            found.append(f"The API server does not know {name}; {_CURE}")
        elif not serves(crd, kind):
            found.append(f"The CRD {name} does not serve {kind.version}; {_CURE}")
        elif missing := sorted(fields - _status_of(crd)):
            found.append(
                f"The CRD {name} is older than this operator: its status lacks "
                f"{', '.join(missing)}; {_CURE}"
            )
    return found


def _status_of(crd: Document) -> set[str]:
    """The fields that the status has in every version that is served."""
    served = [one for one in crd["spec"]["versions"] if one["served"]]
    return set.intersection(
        *(
            set(one["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"])
            for one in served
        )
    )
