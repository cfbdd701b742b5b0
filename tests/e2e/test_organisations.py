"""Runs the commands of docs/organisations.md on a whole plane with real agents."""

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
    """Run one command line of the page; return its output."""
    _, *arguments = shlex.split(line)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "molecule_cli", *arguments),
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "COLUMNS": "200", "MOLECULE_URL": url, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


@pytest.mark.covers("REG-58", "REG-62", "REG-63")
async def test_every_command_of_the_page_works_and_the_team_answers(plane, tmp_path):
    template, org = blocks("yaml")
    assert template in (ROOT / "workspace-configs-templates" / "echo-agent" / "config.yaml").read_text()
    (tmp_path / "newsroom.yaml").write_text(org)
    output = {}

    for line in [line for block in blocks("sh") for line in block.splitlines()]:
        if line.startswith("molecule send"):
            await eventually(lambda: all_are_online(plane), within=60)
        output[line] = await molecule(line, tmp_path, plane.url)

    assert "echo-agent" in output["molecule templates"]
    assert "would be made: editor, reporter, proofreader" in output["molecule org import newsroom.yaml --dry-run"]
    assert "ANTHROPIC_API_KEY" in output["molecule org import newsroom.yaml --dry-run"]
    assert "3 workspaces made" in output["molecule org import newsroom.yaml"]
    assert "hello" in output['molecule send editor "hello"']
    assert "demo" in output["molecule org templates"]
    [editor] = [workspace for workspace in await workspaces(plane) if workspace["name"] == "editor"]
    assert len([workspace for workspace in await workspaces(plane) if workspace["parent_id"] == editor["id"]]) == 2


async def test_an_import_succeeds_after_its_missing_secret_is_set(plane):
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
    [workspace] = made.json()["workspaces"]
    await eventually(lambda: all_are_online(plane), within=60)
    configs = next(path for path in find_configs(workspace["id"]))
    assert (configs / "system-prompt.md").read_text() == "You are needy."
    assert "runtime: echo" in (configs / "config.yaml").read_text()


async def test_a_restart_applies_a_template_and_keeps_other_files_of_the_agent(plane):
    made = await plane.http.post("/workspaces", json={"name": "plain", "runtime": "echo"})
    await eventually(lambda: all_are_online(plane), within=60)
    workspace_id = made.json()["id"]
    configs = next(path for path in find_configs(workspace_id))
    (configs / "config.yaml").write_text("name: its own")
    (configs / "notes.md").write_text("its own")

    refused = await plane.http.post(f"/workspaces/{workspace_id}/restart", json={"template": "nowhere"})
    answer = await plane.http.post(f"/workspaces/{workspace_id}/restart", json={"template": "echo-agent"})

    assert (refused.status_code, refused.json()["error"]) == (400, "invalid template")
    assert answer.json() == {"status": "provisioning", "config_dir": "echo-agent", "reset_session": False}
    await eventually(lambda: all_are_online(plane), within=60)
    assert "runtime: echo" in (configs / "config.yaml").read_text()
    assert (configs / "notes.md").read_text() == "its own"


def find_configs(workspace_id):
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


async def all_are_online(plane):
    return all(workspace["status"] == "online" for workspace in await workspaces(plane))
