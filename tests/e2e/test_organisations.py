"""The walk of docs/organisations.md: its commands, on a whole plane with real agents."""

import asyncio
import re
import shlex
import sys
from pathlib import Path

import pytest

from tests.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

ROOT = Path(__file__).parents[2]

PAGE = (ROOT / "docs" / "organisations.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


async def molecule(line, folder, url):
    """Run one line of the page, as it stands there."""
    _, *arguments = shlex.split(line)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "molecule_cli", *arguments),
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "COLUMNS": "200", "MOLECULE_URL": url, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    return said.decode()


@pytest.mark.covers("REG-58", "REG-62", "REG-63")
async def test_every_command_of_the_page_works_and_ends_with_a_team_that_answers(plane, tmp_path):
    template, org = blocks("yaml")
    assert template in (ROOT / "workspace-configs-templates" / "echo-agent" / "config.yaml").read_text()
    (tmp_path / "newsroom.yaml").write_text(org)
    said = {}

    for line in [line for block in blocks("sh") for line in block.splitlines()]:
        if line.startswith("molecule send"):
            await eventually(lambda: everybody_is_online(plane), within=60)
        said[line] = await molecule(line, tmp_path, plane.url)

    assert "echo-agent" in said["molecule templates"]
    assert "would be made: editor, reporter, proofreader" in said["molecule org import newsroom.yaml --dry-run"]
    assert "ANTHROPIC_API_KEY" in said["molecule org import newsroom.yaml --dry-run"]
    assert "3 workspaces made" in said["molecule org import newsroom.yaml"]
    assert "hello" in said['molecule send editor "hello"']
    assert "demo" in said["molecule org templates"]
    [editor] = [one for one in await workspaces(plane) if one["name"] == "editor"]
    assert len([one for one in await workspaces(plane) if one["parent_id"] == editor["id"]]) == 2


async def test_what_is_missing_is_set_and_then_the_same_import_succeeds(plane):
    body = {
        "template": {
            "name": "Needy",
            "required_env": ["SOME_API_KEY"],
            "workspaces": [{"name": "needy", "template": "echo-agent", "system_prompt": "You are needy."}],
        }
    }
    before = len(await workspaces(plane))

    refused = await plane.http.post("/org/import", json={**body, "force": True})
    assert (refused.status_code, refused.json()["missing"]) == (412, ["SOME_API_KEY"])
    assert len(await workspaces(plane)) == before
    await plane.http.post("/settings/secrets", json={"key": "SOME_API_KEY", "value": "x"})
    made = await plane.http.post("/org/import", json=body)

    assert made.status_code == 201
    [one] = made.json()["workspaces"]
    await eventually(lambda: everybody_is_online(plane), within=60)
    configs = next(path for path in home_of(one["id"]))
    assert (configs / "system-prompt.md").read_text() == "You are needy."
    assert "runtime: echo" in (configs / "config.yaml").read_text()


async def test_a_restart_puts_on_a_template_and_keeps_what_the_agent_wrote_beside_it(plane):
    made = await plane.http.post("/workspaces", json={"name": "plain", "runtime": "echo"})
    await eventually(lambda: everybody_is_online(plane), within=60)
    workspace_id = made.json()["id"]
    configs = next(path for path in home_of(workspace_id))
    (configs / "config.yaml").write_text("name: its own")
    (configs / "notes.md").write_text("its own")

    refused = await plane.http.post(f"/workspaces/{workspace_id}/restart", json={"template": "nowhere"})
    answer = await plane.http.post(f"/workspaces/{workspace_id}/restart", json={"template": "echo-agent"})

    assert (refused.status_code, refused.json()["error"]) == (400, "invalid template")
    assert answer.json() == {"status": "provisioning", "config_dir": "echo-agent", "reset_session": False}
    await eventually(lambda: everybody_is_online(plane), within=60)
    assert "runtime: echo" in (configs / "config.yaml").read_text()
    assert (configs / "notes.md").read_text() == "its own"


def home_of(workspace_id):
    import psutil

    for process in psutil.process_iter():
        try:
            environment = process.environ()
        except psutil.Error:
            continue
        if environment.get("WORKSPACE_ID") == workspace_id:
            yield Path(environment["MOLECULE_ROOT"]) / "configs"


async def workspaces(plane):
    return (await plane.http.get("/workspaces")).json()


async def everybody_is_online(plane):
    return all(one["status"] == "online" for one in await workspaces(plane))
