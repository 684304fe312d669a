"""
A webhook receiver of a few lines: checks the signature as standardwebhooks.com says, prints the
event. `python3 receiver.py [PORT]`; needs nothing but Python.
"""

import hmac
import sys
import time
from base64 import b64decode, b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = b64decode("dHJhY2ttYXRlLWV4YW1wbGUtc2VjcmV0")  # crm.yaml has it after `whsec_`
TOLERANCE_SECONDS = 300


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        genuine = self.is_genuine(body)
        if genuine:
            print(self.headers["webhook-id"], body.decode(errors="replace"), flush=True)
        self.send_response(204 if genuine else 401)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def is_genuine(self, body: bytes) -> bool:
        """Whether the sender knows the secret and sent this lately."""
        message_id = self.headers.get("webhook-id", "")
        sent = self.headers.get("webhook-timestamp", "0")
        if not sent.isdecimal() or abs(time.time() - int(sent)) > TOLERANCE_SECONDS:
            return False
        signed = f"{message_id}.{sent}.".encode() + body
        expected = b"v1," + b64encode(hmac.digest(SECRET, signed, "sha256"))
        given = self.headers.get("webhook-signature", "").split()
        return any(hmac.compare_digest(expected, one.encode()) for one in given)

    def log_message(self, *_: object) -> None:
        """Events are printed, requests are not."""


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 9090
    print(f"Waiting for webhooks on http://127.0.0.1:{port}/hooks", flush=True)
    ThreadingHTTPServer(("127.0.0.1", port), Receiver).serve_forever()
