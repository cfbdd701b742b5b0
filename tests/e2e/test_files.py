"""The files of a workspace, read and written through a whole plane."""

import pytest

from tests.e2e.conversation import create, wait_until_online

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]


async def mint(plane, workspace_id):
    minted = await plane.http.post(f"/workspaces/{workspace_id}/tokens", headers=plane.admin)
    return {"Authorization": f"Bearer {minted.json()['auth_token']}"}


async def test_files_of_a_running_and_of_a_stopped_agent_are_read_and_written(plane):
    workspace_id = await create(plane, "writer")
    await wait_until_online(plane, workspace_id)
    files = f"/workspaces/{workspace_id}/files"
    own = await mint(plane, workspace_id)

    saved = await plane.http.put(f"{files}/notes/today.md", json={"content": "grüß"}, headers=own)
    read = await plane.http.get(f"{files}/notes/today.md", headers=own)
    listed = await plane.http.get(files, params={"depth": 2, "path": "notes"}, headers=own)
    replaced = await plane.http.put(
        files, params={"root": "/workspace"}, json={"files": {"a": "1", "b/c": "2"}}, headers=own
    )
    await plane.http.post(f"/workspaces/{workspace_id}/pause", headers=plane.admin)
    stopped = await plane.http.put(files, json={"files": {"late": "3"}}, headers=plane.admin)
    deleted = await plane.http.delete(f"{files}/notes/today.md", headers=plane.admin)
    missing = await plane.http.get(f"{files}/notes/today.md", headers=plane.admin)

    assert (saved.status_code, saved.json()) == (200, {"path": "notes/today.md", "status": "saved"})
    assert read.json() == {"path": "notes/today.md", "content": "grüß", "size": 6}
    assert listed.json() == [{"path": "notes/today.md", "size": 6, "dir": False}]
    expected = {"status": "replaced", "workspace": workspace_id, "files": 2, "source": "container"}
    assert replaced.json() == expected
    assert stopped.json()["source"] in {"volume", "container"}  # a pause is answered before the agent has ended
    assert deleted.json() == {"path": "notes/today.md", "status": "deleted"}
    assert (missing.status_code, missing.json()) == (404, {"error": "file not found"})


async def test_a_workspace_reads_no_credentials_and_no_files_of_others(plane):
    one, other = await create(plane, "one"), await create(plane, "other")
    await wait_until_online(plane, one, other)
    own = await mint(plane, one)

    foreign = await plane.http.get(f"/workspaces/{other}/files", headers=own)
    secret = await plane.http.get(f"/workspaces/{one}/files/.auth_token", headers=own)
    outside = await plane.http.get(f"/workspaces/{one}/files/..%2f..%2finstance.json", headers=own)
    listed = await plane.http.get(f"/workspaces/{one}/files", headers=own)
    wrong_root = await plane.http.get(f"/workspaces/{one}/files", params={"root": "/etc"}, headers=own)
    too_many = await plane.http.put(
        f"/workspaces/{one}/files", json={"files": {str(number): "" for number in range(201)}}, headers=own
    )

    assert foreign.status_code in {401, 403}
    assert [answer.status_code for answer in (secret, outside, wrong_root)] == [400, 400, 400]
    assert not [item for item in listed.json() if item["path"].startswith(".")]
    assert wrong_root.json() == {"error": "root must be one of: /configs, /workspace, /home, /plugins"}
    assert (too_many.status_code, too_many.json()) == (400, {"error": "too many files (201), max 200"})
