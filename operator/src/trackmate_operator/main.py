"""
`trackmate-operator`: makes what belongs to each Affiliate and Pipeline of a cluster, and keeps it
so.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from trackmate_operator.backend import Backend, Down
from trackmate_operator.checking import faults
from trackmate_operator.clock import Clock
from trackmate_operator.cluster import NOT_REACHED, Cluster, Denied, Unanswered
from trackmate_operator.configuration import Configuration, load
from trackmate_operator.kafka.admin import Admin
from trackmate_operator.kafka.direct import Direct
from trackmate_operator.kafka.registry import Registry
from trackmate_operator.kafka.strimzi import Strimzi
from trackmate_operator.login import Login
from trackmate_operator.platform import Platform
from trackmate_operator.program import Operator
from trackmate_operator.settings import PROGRAM, OperatorSettings
from trackmate_programs.command import CannotStart, Checked, Command

_ABOUT = """\
Make what belongs to each Affiliate and Pipeline of the cluster, and keep it so: namespace, Kafka
topics and users, write keys, settings of its programs, roles. Of several, one works."""


@dataclass(frozen=True)
class _Reached:
    """What the operator works with."""

    cluster: Cluster
    admin: Admin


@asynccontextmanager
async def _reached(configuration: Configuration) -> AsyncIterator[_Reached]:
    try:
        cluster = await Cluster.reached()
    except NOT_REACHED as error:
        what = str(error) or type(error).__name__
        raise Unanswered(
            f"The API server cannot be reached ({what}); check KUBECONFIG, or that the pod has a "
            "service account."
        ) from None
    admin = Admin(configuration.access)
    try:
        yield _Reached(cluster, admin)
    finally:
        await admin.close()
        await cluster.close()


async def _start(settings: Path) -> int:
    configuration = load(settings, os.environ)
    try:
        async with _reached(configuration) as reached:
            return await _run(configuration, reached)
    except Unanswered as why:
        raise CannotStart(str(why)) from None


async def _run(configuration: Configuration, reached: _Reached) -> int:
    try:
        found = await faults(configuration, reached.cluster, reached.admin)
    except (Unanswered, Denied, Down):
        found = []  # it heals by itself: what is away now is waited for
    if found:
        raise CannotStart(" ".join(found))
    platform = configuration.platform
    registry = Registry(reached.admin, platform.settings.topics)
    backend = _backend(reached, platform)
    login = Login(platform.settings.kafka, configuration.access, reached.admin)
    following = asyncio.create_task(login.follow())
    try:
        return await Operator(platform, reached.cluster, registry, backend).run()
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await registry.close()


def _backend(reached: _Reached, platform: Platform) -> Backend:
    strimzi = platform.settings.strimzi
    if strimzi is None:
        return Direct(reached.admin, platform.root)
    return Strimzi(reached.cluster, reached.admin, strimzi, Clock())


async def _check(settings: Path) -> Checked:
    configuration = load(settings, os.environ)
    try:
        async with _reached(configuration) as reached:
            found = await faults(configuration, reached.cluster, reached.admin)
    except (Unanswered, Denied, Down) as why:
        found = [str(why)]
    return Checked(
        found,
        "All is right: the settings, the API server with the custom resources, the way to "
        "Kafka, and Strimzi where it is to make topics and users.",
    )


_COMMAND = Command(
    name="trackmate-operator",
    about=_ABOUT,
    checks="say what is wrong with the settings, the custom resources, the API server and the way "
    "to Kafka; and exit with 0 where nothing is",
    model=OperatorSettings,
    variables=PROGRAM,
    start=_start,
    check=_check,
)

main = _COMMAND.run

if __name__ == "__main__":
    sys.exit(main())
