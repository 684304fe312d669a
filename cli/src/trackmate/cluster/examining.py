"""
`trackmate doctor` on a cluster: what keeps it from having its affiliates ready, each with its cure.
"""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from importlib.resources import files
from typing import Any

import yaml

from trackmate.checks import Check
from trackmate.cluster import shown
from trackmate.cluster.connecting import refusal
from trackmate.cluster.platform import Unpublished, platform
from trackmate.errors import Declined
from trackmate_operator.apply import holds
from trackmate_operator.cluster import Cluster, Denied, Unanswered
from trackmate_operator.declared import namespace_of
from trackmate_operator.kinds import AFFILIATE, CRD, LEASE, PIPELINE, Kind, Ref
from trackmate_operator.report import CREDENTIALS, TOPICS
from trackmate_operator.tenant import Document

_RENEWED_S = 6.0  # it is renewed every 2
_AGAIN_S = 0.3
_KAFKA = {"KafkaDown", "KafkaRefused", "KafkaAwaited", "TopicLost"}

_INSTALL = "kubectl apply --server-side -f crds/"


async def examine(cluster: Cluster, name: str) -> list[Check]:
    """All checks; where the API server does not answer, none but that one."""
    first = await _seen("API server", name, _api_server(cluster, name))
    if not first[0].passed:
        return first
    return [
        *first,
        *await _seen("Definitions", name, _definitions(cluster)),
        *await _seen("Operator", name, _operator(cluster)),
        *await _seen("Affiliates", name, _affiliates(cluster)),
    ]


async def _seen(check: str, name: str, look: Awaitable[list[Check]]) -> list[Check]:
    """What it finds; one that may not look says so."""
    try:
        return await look
    except (Denied, Unanswered) as error:
        return [Check(check, passed=False, detail=str(refusal(error, name)))]
    except Declined as declined:
        return [Check(check, passed=False, detail=str(declined))]


async def _api_server(cluster: Cluster, name: str) -> list[Check]:
    detail = f"{await cluster.version()} at {cluster.url}, {name}"
    return [Check("API server", passed=True, detail=detail)]


async def _definitions(cluster: Cluster) -> list[Check]:
    return [await _definition(cluster, kind) for kind in (AFFILIATE, PIPELINE)]


async def _definition(cluster: Cluster, kind: Kind) -> Check:
    check, crd = f"Definition of {kind.plural}", kind.resource
    found = await cluster.get(Ref(CRD, crd))
    if found is None:
        return Check(check, passed=False, detail=f"{crd} is not there; install it: {_INSTALL}")
    if not holds(found["spec"]["versions"], _ours(kind)["spec"]["versions"]):
        detail = (
            f"{crd} is not as this command knows it: older than it, or newer. Install that of this "
            f"version: {_INSTALL}; or update the command"
        )
        return Check(check, passed=False, detail=detail)
    return Check(check, passed=True, detail=f"{crd} is there and as this command knows it")


def _ours(kind: Kind) -> Mapping[str, Any]:
    source = files("trackmate") / "crds" / f"{kind.plural.removesuffix('s')}.yaml"
    found: Mapping[str, Any] = yaml.safe_load(source.read_text("utf-8"))
    return found


async def _operator(cluster: Cluster) -> list[Check]:
    try:
        lease = (await platform(cluster)).settings.lease
    except Unpublished as unpublished:
        return [Check("Operator", passed=False, detail=str(unpublished))]
    where = Ref(LEASE, lease.name, lease.namespace)
    found = await cluster.get(where)
    logs = f"see its log: kubectl logs -n {lease.namespace} deployment/trackmate-operator"
    if found is None or not found["spec"].get("holderIdentity"):
        detail = f"none works: nobody holds {where}. Start it, or {logs}"
        return [Check("Operator", passed=False, detail=detail)]
    holder = found["spec"]["holderIdentity"]
    if not await _renewed(cluster, where, found):
        detail = f"{holder} holds {where} and no longer renews it: it ended or hangs; {logs}"
        return [Check("Operator", passed=False, detail=detail)]
    return [Check("Operator", passed=True, detail=f"{holder} works, and renews {where}")]


async def _renewed(cluster: Cluster, where: Ref, first: Document) -> bool:
    """Whether the Lease changes: its times are those of another machine's clock."""
    version = first["metadata"]["resourceVersion"]
    try:
        async with asyncio.timeout(_RENEWED_S):
            while True:
                await asyncio.sleep(_AGAIN_S)
                found = await cluster.get(where)
                if found is not None and found["metadata"]["resourceVersion"] != version:
                    return bool(found["spec"].get("holderIdentity"))
    except TimeoutError:
        return False


async def _affiliates(cluster: Cluster) -> list[Check]:
    affiliates = await cluster.list(AFFILIATE)
    pipelines = await cluster.list(PIPELINE)
    owners = {namespace_of(one): str(one["metadata"]["name"]) for one in affiliates}
    looked = [
        *(_of_affiliate(one) for one in affiliates),
        *(_of_pipeline(one, owners) for one in pipelines),
    ]
    kafka = _kafka([*affiliates, *pipelines])
    unready = [check for check in looked if not check.passed]
    if unready:
        return [*kafka, *unready]
    detail = f"{len(affiliates)} with {len(pipelines)} pipelines in all, and all of it is ready"
    return [*kafka, Check("Affiliates", passed=True, detail=detail)]


def _of_affiliate(document: Document) -> Check:
    one = shown.affiliate(document, ())
    return Check(f"Affiliate {one['name']}", one["ready"], _cured(one, one["name"]))


def _of_pipeline(document: Document, owners: Mapping[str, str]) -> Check:
    one, namespace = shown.pipeline(document), document["metadata"]["namespace"]
    if namespace not in owners:
        detail = f"no affiliate has the namespace {namespace!r}; make the Affiliate, or remove it"
        return Check(f"Pipeline {one['name']}", passed=False, detail=detail)
    name = f"{owners[namespace]}/{one['name']}"
    return Check(f"Pipeline {name}", one["ready"], _cured(one, name))


def _cured(one: Mapping[str, Any], name: str) -> str:
    """The operator's sentence, which has the cure but where it is the command's own."""
    if one["reason"] == "Paused":
        return f"{one['message']} Let it go on: trackmate resume {name}"
    if one["reason"] == shown.NOT_SEEN:
        return "no operator has looked at it since it was changed; see what is said of that here"
    return f"{one['reason']}: {one['message']}"


def _kafka(documents: Sequence[Document]) -> list[Check]:
    """What the operator says of Kafka, by all that it looked at."""
    told = [
        found
        for document in documents
        for about in (TOPICS, CREDENTIALS)
        if (found := shown.condition(document, about)) is not None
    ]
    bad = [one for one in told if one["status"] != "True" and one["reason"] in _KAFKA]
    if bad:
        return [Check("Kafka", passed=False, detail=bad[0]["message"])]
    if any(one["status"] == "True" for one in told):
        return [Check("Kafka", passed=True, detail="has what the operator made")]
    return []
