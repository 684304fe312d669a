"""
Every Kubernetes object that an affiliate is to have, in the order in which they are made.
"""

from collections.abc import Iterator

from trackmate_operator.plan.access import roles
from trackmate_operator.plan.namespace import walls
from trackmate_operator.plan.programs import programs
from trackmate_operator.platform import Platform
from trackmate_operator.tenant import Document, Tenant


def objects(tenant: Tenant, platform: Platform) -> Iterator[Document]:
    """Those of its namespace, which is there."""
    yield from walls(tenant.namespace, tenant.name, platform.settings.quota)
    yield from roles(tenant)
    yield from programs(tenant, platform)
