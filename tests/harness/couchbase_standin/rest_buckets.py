"""
The management API about buckets (`menelaus_web_buckets.erl`).
"""

import re
from collections.abc import Mapping

from aiohttp import web

from couchbase_standin.access import Right, may_somewhere
from couchbase_standin.rest_answers import Call, route
from couchbase_standin.state import LEVELS, MOST_BUCKETS, Bucket
from couchbase_standin.topology import CAPABILITIES, configuration

_LEAST_RAM_MB = 100
_TOO_MANY_REPLICAS = 3
_NAME = re.compile(r"[A-Za-z0-9._%-]{1,100}")


def _json(bucket: Bucket) -> dict[str, object]:
    quota = bucket.ram_mb << 20
    return {
        "name": bucket.name,
        "uuid": bucket.uuid,
        "bucketType": "membase",
        "nodeLocator": "vbucket",
        "replicaNumber": bucket.replicas,
        "quota": {"ram": quota, "rawRAM": quota},
        "durabilityMinLevel": LEVELS[bucket.durability],
        "maxTTL": bucket.max_ttl,
        "storageBackend": "couchstore",
        "evictionPolicy": "valueOnly",
        "compressionMode": "passive",
        "conflictResolutionType": "seqno",
        "replicaIndex": False,
        "controllers": {},
        "bucketCapabilities": CAPABILITIES,
        "nodes": [],
    }


def _list(call: Call) -> web.Response:
    """Those that the user may see."""
    buckets = call.state.buckets.values()
    return web.json_response(
        [_json(bucket) for bucket in buckets if may_somewhere(call.user, bucket.name)]
    )


def _one(call: Call) -> web.Response:
    return web.json_response(_json(call.bucket))


def _terse(call: Call) -> web.Response:
    body = configuration(call.state, call.ports, call.bucket)
    return web.Response(body=body, content_type="application/json")


def _make(call: Call) -> web.Response:
    if len(call.state.buckets) >= MOST_BUCKETS:
        words = f"Cannot create more than {MOST_BUCKETS} buckets"
        return web.json_response({"_": words}, status=400)
    bucket = Bucket(call.form.get("name", ""))
    errors = _misnamed(bucket.name, call.state.buckets) | _set(bucket, call.form)
    if errors:
        return web.json_response({"errors": errors, "summaries": {}}, status=400)
    call.state.add_bucket(bucket)
    return web.Response(status=202, headers={"Location": f"/pools/default/buckets/{bucket.name}"})


def _change(call: Call) -> web.Response:
    errors = _set(call.bucket, call.form)
    if errors:
        return web.json_response({"errors": errors, "summaries": {}}, status=400)
    return web.Response()


def _drop(call: Call) -> web.Response:
    call.state.drop_bucket(call.bucket.name)
    return web.Response()


def _misnamed(name: str, others: Mapping[str, Bucket]) -> dict[str, str]:
    if not name:
        return {"name": "Bucket name needs to be specified"}
    if not _NAME.fullmatch(name):
        return {
            "name": "Bucket name can only contain characters in range A-Z, a-z, 0-9 as well as "
            "underscore, period, dash & percent. Consult the documentation."
        }
    if name.lower() in {other.lower() for other in others}:
        return {"name": "Bucket with given name already exists"}
    return {}


def _set(bucket: Bucket, form: Mapping[str, str]) -> dict[str, str]:
    """Take the settings over, or return what is wrong with them."""
    ram_mb = int(form.get("ramQuota", form.get("ramQuotaMB", bucket.ram_mb)))
    replicas = int(form.get("replicaNumber", bucket.replicas))
    level = form.get("durabilityMinLevel", LEVELS[bucket.durability])
    errors = {}
    if ram_mb < _LEAST_RAM_MB:
        errors["ramQuota"] = f"RAM quota cannot be less than {_LEAST_RAM_MB} MiB"
    if level not in LEVELS:
        errors["durability_min_level"] = (
            "Durability minimum level must be either 'none', 'majority', "
            "'majorityAndPersistActive', or 'persistToMajority'"
        )
    elif level != "none" and replicas == _TOO_MANY_REPLICAS:
        errors["durability_min_level"] = (
            "Durability minimum level cannot be specified with 3 replicas"
        )
    elif level != "none" and replicas:
        errors["durability_min_level"] = (
            "You do not have enough data servers to support this durability level"
        )
    if not errors:
        bucket.ram_mb, bucket.replicas, bucket.durability = ram_mb, replicas, LEVELS.index(level)
        bucket.max_ttl = int(form.get("maxTTL", bucket.max_ttl))
    return errors


_BUCKET = "/pools/default/buckets/{bucket}"
_SEEN, _SET = "cluster.bucket[{bucket}].settings!read", "cluster.bucket[{bucket}].settings!write"
ROUTES = (
    route("GET /pools/default/buckets", None, "", _list),
    route("POST /pools/default/buckets", Right.BUCKETS, "cluster.buckets!create", _make),
    route(f"GET {_BUCKET}", Right.META, _SEEN, _one),
    route(f"POST {_BUCKET}", Right.BUCKET, _SET, _change),
    route(f"DELETE {_BUCKET}", Right.BUCKET, "cluster.bucket[{bucket}]!delete", _drop),
    route("GET /pools/default/b/{bucket}", Right.META, _SEEN, _terse),
)
