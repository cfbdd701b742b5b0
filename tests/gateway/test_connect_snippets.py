import ast
import asyncio
import io
import json
import os
import shlex
import sys
from contextlib import redirect_stdout

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import connect_snippets, snippets
from gateway.snippets import claude_code
from protos.registry.v1 import registry_pb2 as pb
from tests.gateway.fake_services import workspace
from tests.waiting import eventually

W = "11111111-1111-4111-8111-111111111111"


def told(platform_url="https://plane.example", **fields):
    made = pb.Workspace(id=W, name='it\'s "$(quoted)"', delivery_mode=pb.DELIVERY_MODE_POLL, **fields)
    return connect_snippets.build_connection(made, token="t0k3n", platform_url=platform_url)


async def run(*command):
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out


def test_the_connection_names_every_address():
    shown = told()

    assert list(shown) == [
        "workspace_id",
        "auth_token",
        "platform_url",
        "registry_endpoint",
        "heartbeat_endpoint",
        "curl_register_template",
        "python_snippet",
        "claude_code_channel_snippet",
    ]
    assert shown["registry_endpoint"] == "https://plane.example/registry/register"
    assert shown["heartbeat_endpoint"] == "https://plane.example/registry/heartbeat"


async def test_the_curl_command_registers_without_edits(plane):
    plane.auth.known["t0k3n"] = workspace(W)
    plane.registry.replies["Register"] = pb.RegisterResponse(delivery_mode=pb.DELIVERY_MODE_POLL)

    out = await run("sh", "-c", told(plane.url)["curl_register_template"])

    assert json.loads(out) == {"status": "registered", "delivery_mode": "poll"}
    assert plane.only_call.caller == workspace(W)
    assert json.loads(plane.only_call.request.agent_card)["name"] == 'it\'s "$(quoted)"'


async def test_the_python_snippet_registers_and_sends_heartbeats(plane):
    plane.auth.known["t0k3n"] = workspace(W)
    plane.registry.replies["Register"] = pb.RegisterResponse(delivery_mode=pb.DELIVERY_MODE_POLL)

    process = await asyncio.create_subprocess_exec(sys.executable, "-c", told(plane.url)["python_snippet"])
    try:
        await eventually(
            lambda: [call.method for call in plane.registry.received] == ["Register", "Heartbeat"], within=20
        )
    finally:
        process.kill()
        await process.wait()


async def test_the_claude_code_script_installs_a_channel_and_its_env_and_starts_a_session(tmp_path):
    claude = tmp_path / "claude"
    claude.write_text('#!/bin/sh\nprintf "%s\\n" "$*"\n')
    claude.chmod(0o755)

    script = f"PATH={shlex.quote(f'{tmp_path}:{os.defpath}')} HOME={shlex.quote(str(tmp_path))}\n"
    out = await run("sh", "-c", script + told()["claude_code_channel_snippet"])

    home = tmp_path / ".claude" / "channels" / f"molecule-{W[:8]}"
    assert out.decode().splitlines() == [
        f"mcp add --scope user molecule-{W[:8]} -- python3 {home / 'channel.py'}",
        f"--dangerously-load-development-channels server:molecule-{W[:8]}",
    ]
    assert (home / "channel.py").read_text() == snippets.load_snippet("claude_code")
    lines = (home / ".env").read_text().splitlines()
    assert lines[:2] == ["MOLECULE_URL=https://plane.example", "MOLECULE_TOKEN=t0k3n"]
    assert json.loads(lines[2].removeprefix("MOLECULE_REGISTRATION="))["agent_card"]["name"] == 'it\'s "$(quoted)"'
    assert [(home / name).stat().st_mode & 0o777 for name in (".env", "channel.py")] == [0o600, 0o600]


def test_the_channel_runs_on_the_python_that_agents_have():
    """With nothing but the standard library, from Python 3.9 on."""
    tree = ast.parse(snippets.load_snippet("claude_code"), feature_version=(3, 9))
    imported = {
        name.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names
    }
    imported |= {node.module.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported <= sys.stdlib_module_names


def test_the_registration_of_an_agent_with_an_address_has_its_url():
    command = shlex.split(told(url="https://agent.example/")["curl_register_template"])

    assert json.loads(command[-1])["url"] == "https://agent.example/"


def test_the_python_snippet_is_python_whatever_the_name():
    ast.parse(told(role="'''\n\"\"\" \\")["python_snippet"])


names = st.sampled_from(["params", "message", "parts", "text", "status", "artifacts"])
any_json = st.recursive(
    st.none() | st.booleans() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=12,
)


@pytest.mark.covers("TXT-03")
@given(any_json)
def test_the_channel_tells_a_message_of_any_shape_and_goes_on(request_body):
    values = {"MOLECULE_URL": "http://plane", "MOLECULE_TOKEN": "t0k3n", "MOLECULE_REGISTRATION": f'{{"id":"{W}"}}'}
    written = io.StringIO()

    with redirect_stdout(written):
        claude_code.Channel(values)._tell({"id": "row", "request_body": request_body})

    params = json.loads(written.getvalue())["params"]
    assert (params["meta"]["activity_id"], type(params["content"])) == ("row", str)


def test_the_channel_does_not_tell_the_session_what_it_told_people():
    values = {"MOLECULE_URL": "http://plane", "MOLECULE_TOKEN": "t0k3n", "MOLECULE_REGISTRATION": f'{{"id":"{W}"}}'}
    written = io.StringIO()

    with redirect_stdout(written):
        claude_code.Channel(values)._tell({"id": "row", "method": "notify", "response_body": {"result": "Ready"}})

    assert written.getvalue() == ""
