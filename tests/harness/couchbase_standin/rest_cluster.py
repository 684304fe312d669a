"""
The management API about the cluster and whoever asks (`menelaus_web_pools.erl`).
"""

from aiohttp import web

from couchbase_standin.access import Right, may
from couchbase_standin.rest_answers import Call, route
from couchbase_standin.rest_users import user_json
from couchbase_standin.state import MOST_BUCKETS, MOST_COLLECTIONS
from couchbase_standin.topology import HOST, configuration

_RAM = 64 << 30


def _who(call: Call) -> web.Response:
    return web.json_response(user_json(call.user))


def _pools(call: Call) -> web.Response:
    return web.json_response(
        {
            "pools": [{"name": "default", "uri": f"/pools/default?uuid={call.state.uuid}"}],
            "isAdminCreds": may(call.user, Right.BUCKETS),
            "uuid": call.state.uuid,
            "implementationVersion": "7.6.0-0000-enterprise",
            "isEnterprise": True,
        }
    )


def _default(call: Call) -> web.Response:
    node = {
        "hostname": f"{HOST}:{call.ports.management}",
        "status": "healthy",
        "clusterMembership": "active",
        "services": ["kv"],
    }
    used = sum(bucket.ram_mb for bucket in call.state.buckets.values()) << 20
    return web.json_response(
        {
            "name": "default",
            "nodes": [node],
            "buckets": {"uri": "/pools/default/buckets"},
            "maxBucketCount": MOST_BUCKETS,
            "maxCollectionCount": MOST_COLLECTIONS,
            "maxScopeCount": MOST_COLLECTIONS,
            "balanced": True,
            "rebalanceStatus": "none",
            "storageTotals": {"ram": {"quotaTotal": _RAM, "quotaUsed": used}},
        }
    )


def _nodes(call: Call) -> web.Response:
    body = configuration(call.state, call.ports, None)
    return web.Response(body=body, content_type="application/json")


_READ = "cluster.pools!read"
ROUTES = (
    route("GET /whoami", None, "", _who),
    route("GET /pools", Right.CLUSTER, _READ, _pools),
    route("GET /pools/default", Right.CLUSTER, _READ, _default),
    route("GET /pools/default/nodeServices", Right.CLUSTER, _READ, _nodes),
)
