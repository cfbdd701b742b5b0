"""Uploads a file to a workspace of a running plane and reads it back: python -m tests.e2e.chat_upload (ENG-11).

BASE is the URL of the plane, ADMIN_TOKEN the operator's token if it needs one. The script creates a workspace, waits
until it is online, mints a test token, uploads, downloads, compares, and removes the workspace. With ADMIN_TOKEN it
also checks that an upload without a bearer is refused. The exit code is 0 if all of that succeeded.
"""

import os
import sys
import time
from uuid import uuid4

import httpx

ONLINE_TIMEOUT_SECONDS = 120

CONTENT = bytes(range(256)) * 64


def main() -> int:
    token = os.environ.get("ADMIN_TOKEN", "")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    base = os.environ.get("BASE", "http://localhost:8080")
    with httpx.Client(base_url=base, headers=headers, timeout=60, trust_env=False) as admin:
        created = admin.post("/workspaces", json={"name": f"upload-{uuid4().hex[:8]}", "runtime": "echo"})
        workspace_id = created.raise_for_status().json()["id"]
        try:
            return try_upload(admin, workspace_id, is_open=not token)
        finally:
            admin.delete(f"/workspaces/{workspace_id}", params={"confirm": "true"})


def try_upload(admin: httpx.Client, workspace_id: str, *, is_open: bool) -> int:
    """Return the exit code; `is_open` says that the plane may admit callers without a bearer."""
    wait_until_online(admin, workspace_id)
    minted = admin.get(f"/admin/workspaces/{workspace_id}/test-token").raise_for_status().json()
    bearer = {"Authorization": f"Bearer {minted['auth_token']}"}
    files = [("files", ("a.bin", CONTENT))]
    path = f"/workspaces/{workspace_id}/chat/uploads"
    if not is_open and httpx.post(f"{admin.base_url}{path}", files=files, trust_env=False).status_code != 401:
        return fail("an upload without a bearer was not refused")
    uploaded = admin.post(path, files=files, headers=bearer).raise_for_status().json()["files"][0]
    query = {"path": uploaded["uri"].removeprefix("workspace:")}
    read = admin.get(f"/workspaces/{workspace_id}/chat/download", params=query, headers=bearer).raise_for_status()
    return 0 if read.content == CONTENT else fail("the file came back with another content")


def wait_until_online(admin: httpx.Client, workspace_id: str) -> None:
    deadline = time.monotonic() + ONLINE_TIMEOUT_SECONDS
    while admin.get(f"/workspaces/{workspace_id}").raise_for_status().json()["status"] != "online":
        if time.monotonic() > deadline:
            message = f"workspace {workspace_id} is not online after {ONLINE_TIMEOUT_SECONDS} s"
            raise TimeoutError(message)
        time.sleep(0.2)


def fail(line: str) -> int:
    print(line, file=sys.stderr)  # noqa: T201 - output of a script
    return 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (httpx.HTTPError, TimeoutError) as error:
        sys.exit(fail(str(error)))
