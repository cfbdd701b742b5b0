"""An agent without an address: each of its register calls is refused with 400, and it sends heartbeats."""

import json
import os
import time
import urllib.error
import urllib.request
from pathlib import Path

WORKSPACE = os.environ["WORKSPACE_ID"]


def post(path: str, body: dict[str, object]) -> int:
    """Send a request to the plane and return its status."""
    token = (Path(os.environ["MOLECULE_ROOT"]) / "configs" / ".auth_token").read_text()
    request = urllib.request.Request(  # noqa: S310 - the plane of the test
        os.environ["PLATFORM_URL"] + path,
        json.dumps(body).encode(),
        {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request) as answer:  # noqa: S310 - the plane of the test
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


while True:
    refused = post("/registry/register", {"workspace_id": WORKSPACE, "agent_card": {"name": "x"}, "url": "nothing"})
    if refused != 400:
        raise SystemExit(1)
    post("/registry/heartbeat", {"workspace_id": WORKSPACE})
    time.sleep(1)
