"""Plugins of a running agent, through a whole plane."""

import pytest
import pytest_asyncio

from deploy.plane import Plane
from tests.databases import plane_database
from tests.e2e.conversation import create, get_workspace, wait_until_online
from tests.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plane(database_url, home):
    directory = home / "operator-plugins"
    env = {"PROVISIONER_PLUGIN_DIRECTORY": str(directory)}
    (directory / "news" / "skills").mkdir(parents=True)
    (directory / "news" / "plugin.yaml").write_text("name: news\nversion: '2'\nruntimes: [echo]\n")
    (directory / "news" / "skills" / "read.md").write_text("Read the news.")
    async with plane_database(database_url) as url, Plane(backend="process", database_url=url, env=env) as plane:
        yield plane


async def wait_for_restart(plane, workspace_id, agent_of, before):
    async def has_new_process():
        workspace = await get_workspace(plane, workspace_id)
        return workspace["status"] == "online" and agent_of(workspace_id).pid != before

    await eventually(has_new_process, within=30)


@pytest.mark.covers("PLG-01", "PLG-02", "PLG-03")
async def test_a_plugin_is_installed_seen_by_the_restarted_agent_and_removed(plane, agent_of):
    workspace_id = await create(plane, "reader")
    await wait_until_online(plane, workspace_id)
    path, first = f"/workspaces/{workspace_id}/plugins", agent_of(workspace_id).pid

    installed = await plane.http.post(path, json={"source": "local://news"}, headers=plane.admin)
    await wait_for_restart(plane, workspace_id, agent_of, first)
    second = agent_of(workspace_id)
    listed = await plane.http.get(path, headers=plane.admin)
    missing = await plane.http.post(path, json={"source": "local://absent"}, headers=plane.admin)
    foreign = await plane.http.post(path, json={"source": "github://a/b#" + "0" * 40}, headers=plane.admin)
    schemes = await plane.http.get("/plugins/sources", headers=plane.admin)

    assert installed.status_code == 200, installed.text
    members = {"plugin": "news", "source": "local://news", "status": "installed"}
    assert installed.json() == members | {"sha256": installed.json()["sha256"]}
    [plugin] = listed.json()
    assert (plugin["name"], plugin["version"], plugin["supported_on_runtime"]) == ("news", "2", True)
    root = second.environ()["MOLECULE_ROOT"]
    with open(f"{root}/plugins/news/skills/read.md", encoding="utf-8") as file:  # noqa: ASYNC230, PTH123 - one line
        assert file.read() == "Read the news."
    assert (missing.status_code, missing.json()) == (404, {"error": "failed to fetch plugin from local"})
    assert (foreign.status_code, foreign.json()) == (400, {"error": "unknown plugin source scheme"})
    assert schemes.json() == {"schemes": ["local"]}

    removed = await plane.http.delete(f"{path}/news", headers=plane.admin)
    await wait_for_restart(plane, workspace_id, agent_of, second.pid)
    files = await plane.http.get(
        f"/workspaces/{workspace_id}/files", params={"root": "/plugins", "depth": 5}, headers=plane.admin
    )
    again = await plane.http.delete(f"{path}/news", headers=plane.admin)

    assert removed.json() == {"plugin": "news", "status": "uninstalled"}
    assert files.json() == []
    assert (again.status_code, again.json()) == (404, {"error": "plugin not found"})


@pytest.mark.covers("PLG-04")
async def test_a_declared_plugin_is_installed_at_the_first_start_and_the_audit_log_says_by_whom(plane, agent_of):
    template = {"name": "team", "workspaces": [{"name": "newsreader", "runtime": "echo", "plugins": ["news"]}]}
    imported = await plane.http.post("/org/import", json={"template": template}, headers=plane.admin)
    assert imported.status_code == 201, imported.text
    [workspace_id] = [one["id"] for one in imported.json()["workspaces"]]

    async def list_installed():
        listed = await plane.http.get(f"/workspaces/{workspace_id}/plugins", headers=plane.admin)
        return listed.is_success and [plugin["name"] for plugin in listed.json()] == ["news"]

    await eventually(list_installed, within=30)
    await wait_until_online(plane, workspace_id)
    await plane.http.delete(f"/workspaces/{workspace_id}/plugins/news", headers=plane.admin)

    async def list_records():
        found = await plane.http.get("/audit", params={"workspace_id": workspace_id}, headers=plane.admin)
        records = {record["action"]: record for record in found.json()}
        return records if "plugin.removed" in records else None

    records = await eventually(list_records, within=30)
    installed, removed = records["plugin.installed"], records["plugin.removed"]
    assert (installed["actor"], installed["details"]["source"]) == ("service:provisioner", "local://news")
    assert len(installed["details"]["sha256"]) == 64
    assert (removed["actor"], removed["details"]) == ("anonymous", {"plugin": "news"})
