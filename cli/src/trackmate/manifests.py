"""
The YAML that `trackmate init` prints.
"""

from trackmate.errors import Refusal
from trackmate_contract.faults import Faulty
from trackmate_contract.manifest import parse
from trackmate_contract.specs import API_VERSION

_TEMPLATE = """\
# An affiliate: one tenant of Trackmate. `spec: {{}}` is a complete one; what stands here are the
# defaults, and what people change first, each with its reason. The whole reference:
# docs/reference-affiliate.md
#
# On a cluster, Pipelines live in this namespace; `trackmate dev` passes over it.
apiVersion: v1
kind: Namespace
metadata:
  name: trackmate-{name}
  labels: {{trackmate.io/affiliate: {name}}}
---
apiVersion: {api_version}
kind: Affiliate
metadata:
  name: {name}
spec:
  # id: af-1042              # your own number for this tenant; cannot be changed later
  displayName: {title}
  streams:
    - name: events           # one Kafka topic
      partitions: 6          # can only grow
      retention: 7d          # how long a sink may be down before events expire
      partitionBy: [anonymousId, userId]   # events of one person stay in order
  ingest:
    # hosts: [{name}.track.example.com]    # where pages send to; the platform has a default
    keys:
      - name: web            # stands in pages, where anyone can read it: it can only send
        use: Browser
        # origins: ["https://www.{name}.example"]   # pages that may use it; none named: any
      - name: server         # for servers alone; never in a page or an address
        use: Server
    limits:
      requestsPerSecond: 2000
      bytesPerSecond: 10Mi
      eventBytes: 64Ki       # the largest event
      bodyBytes: 512Ki       # the largest request, decompressed
      batchEvents: 1000      # the most events in a request
    privacy:
      ip: Truncate           # Drop | Truncate (203.0.113.0) | Keep
      userAgent: true
  deletionPolicy: Retain     # deleted, its data stays, and applying it again brings it back
"""


def commented(name: str) -> str:
    """A commented Affiliate. Raises Refusal where the name cannot be one."""
    try:
        parse({"apiVersion": API_VERSION, "kind": "Affiliate", "metadata": {"name": name}})
    except Faulty as faulty:
        raise Refusal(str(faulty)) from None
    title = name.replace("-", " ").title()
    return _TEMPLATE.format(name=name, title=title, api_version=API_VERSION)
