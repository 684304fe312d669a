"""
The cluster's configuration, as clients ask the data service and the management API for it. There is
one node, and it has every vBucket.
"""

import json
from dataclasses import dataclass

from couchbase_standin.state import Bucket, State

_VBUCKETS = 64  # fewer than a server has, as each is in every answer
HOST = "127.0.0.1"
CAPABILITIES = ["collections", "durableWrite", "tombstonedUserXAttrs", "xattr", "nodesExt"]
"""Of every bucket."""


@dataclass
class Ports:
    """Where the node listens; 0 is nowhere yet."""

    data: int = 0
    data_tls: int = 0
    management: int = 0
    management_tls: int = 0

    def services(self) -> dict[str, int]:
        named = {
            "kv": self.data,
            "kvSSL": self.data_tls,
            "mgmt": self.management,
            "mgmtSSL": self.management_tls,
        }
        return {name: port for name, port in named.items() if port}


def configuration(state: State, ports: Ports, bucket: Bucket | None) -> bytes:
    """Of a bucket, or of the cluster alone."""
    found: dict[str, object] = {
        "rev": state.revision,
        "revEpoch": 1,
        "clusterName": "stand-in",
        "clusterUUID": state.uuid,
        "nodesExt": [{"services": ports.services(), "thisNode": True, "hostname": HOST}],
        "clusterCapabilitiesVer": [1, 0],
        "clusterCapabilities": {},
    }
    if bucket is not None:
        found |= _of_bucket(bucket, ports)
    return json.dumps(found).encode()


def _of_bucket(bucket: Bucket, ports: Ports) -> dict[str, object]:
    return {
        "name": bucket.name,
        "uuid": bucket.uuid,
        "nodeLocator": "vbucket",
        "nodes": [
            {
                "hostname": f"{HOST}:{ports.management}",
                "ports": {"direct": ports.data},
                "thisNode": True,
            }
        ],
        "bucketCapabilitiesVer": "",
        "bucketCapabilities": CAPABILITIES,
        "collectionsManifestUid": f"{bucket.manifest:x}",
        "vBucketServerMap": {
            "hashAlgorithm": "CRC",
            "numReplicas": bucket.replicas,
            "serverList": [f"{HOST}:{ports.data}"],
            "vBucketMap": [[0, *[-1] * bucket.replicas]] * _VBUCKETS,
        },
    }
