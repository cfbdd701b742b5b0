"""A small agent in a container: registers and answers. Its argument says how its first start fails.

It uses the standard library only, so any image with Python runs it.
"""

import http.client
import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import urlsplit

STARTS = Path("/workspace/starts")
"""One line for each start. It is lost if the volume is."""

HEARTBEAT_SECONDS = 20


class Answer(BaseHTTPRequestHandler):
    """Answers every message with `here`."""

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        task = {
            "kind": "task",
            "id": str(request.get("id")),
            "contextId": "1",
            "status": {"state": "completed"},
            "artifacts": [{"artifactId": "1", "parts": [{"kind": "text", "text": "here"}]}],
        }
        body = json.dumps({"jsonrpc": "2.0", "id": request.get("id"), "result": task}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def post(path: str, body: dict[str, object]) -> int:
    """Send a request to the plane and return its status; 0 if it does not answer."""
    plane = urlsplit(os.environ["PLATFORM_URL"])
    token = Path("/configs/.auth_token").read_text()
    connection = http.client.HTTPConnection(plane.hostname or "", plane.port or 80, timeout=10)
    try:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        connection.request("POST", path, json.dumps(body), headers)
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


def stay_alive() -> None:
    """Register until the plane accepts it, then send heartbeats."""
    workspace_id, url = os.environ["WORKSPACE_ID"], f"http://{os.environ['HOST']}:{os.environ['PORT']}"
    while post("/registry/register", {"id": workspace_id, "url": url, "agent_card": {"name": "tiny"}}) != 200:
        time.sleep(0.3)
    while True:
        time.sleep(HEARTBEAT_SECONDS)
        post("/registry/heartbeat", {"workspace_id": workspace_id})


def main(fault: str) -> None:
    """Fail if this is the first start, else serve."""
    is_first = not STARTS.exists()
    with STARTS.open("a") as starts:
        starts.write("start\n")
    if is_first and fault == "exits":
        sys.exit(3)
    if is_first and fault == "hungry":
        _ = b"x" * (1 << 30)
    if is_first and fault == "silent":
        time.sleep(3600)
    server = HTTPServer(("0.0.0.0", int(os.environ["PORT"])), Answer)  # noqa: S104 - in a container
    threading.Thread(target=stay_alive, daemon=True).start()
    server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1])
