"""
The stand-in as a process: prints its address, administrator and password as one line of JSON, and
runs until its standard input ends. `python -m couchbase_standin`, in this folder's parent.
"""

import json
import sys

from couchbase_standin.standin import ADMIN, standing

with standing() as standin:
    found = {"address": standin.address, "username": ADMIN.id, "password": ADMIN.password}
    found["management"] = standin.url
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()
    sys.stdin.read()
