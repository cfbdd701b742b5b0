"""Renders what an external agent needs to connect: addresses, token, and commands to paste."""

import json
import shlex

from gateway import snippets
from gateway.schemas.connections import Connection
from gateway.schemas.workspaces import render_delivery_mode
from protos.registry.v1 import registry_pb2 as pb

END_OF_HEREDOC = "END_OF_FILE"
"""Ends a here-document; no written line equals it."""


def build_connection(workspace: pb.Workspace, *, token: str, platform_url: str) -> Connection:
    """Return the connection of a new workspace."""
    register = f"{platform_url}/registry/register"
    heartbeat = f"{platform_url}/registry/heartbeat"
    registration = json.dumps(_build_registration(workspace), ensure_ascii=False)
    return Connection(
        workspace_id=workspace.id,
        auth_token=token,
        platform_url=platform_url,
        registry_endpoint=register,
        heartbeat_endpoint=heartbeat,
        curl_register_template=_render_curl(register, token, registration),
        python_snippet=_render_python(workspace.id, token, platform_url, registration),
        claude_code_channel_snippet=_render_claude_code(
            workspace.id, token, platform_url, json.dumps(_build_registration(workspace))
        ),
    )


def _build_registration(workspace: pb.Workspace) -> dict[str, object]:
    """Return the body of the first registration, which the registry accepts for this workspace."""
    body: dict[str, object] = {
        "id": workspace.id,
        "agent_card": {
            "name": workspace.name,
            "description": workspace.role or workspace.name,
            "version": "1.0.0",
            "capabilities": {},
            "defaultInputModes": ["text/plain"],
            "defaultOutputModes": ["text/plain"],
            "skills": [],
        },
        "delivery_mode": render_delivery_mode(workspace.delivery_mode),
    }
    if workspace.url:
        body["url"] = workspace.url
    return body


def _render_curl(endpoint: str, token: str, registration: str) -> str:
    return " ".join(
        shlex.quote(word)
        for word in (
            *("curl", "-fsS", "-X", "POST", endpoint),
            *("-H", f"Authorization: Bearer {token}"),
            *("-H", "Content-Type: application/json"),
            *("-d", registration),
        )
    )


def _render_python(workspace_id: str, token: str, platform_url: str, registration: str) -> str:
    return f"""\
import json, time, urllib.request

PLATFORM_URL = {platform_url!r}
AUTH_TOKEN = {token!r}
WORKSPACE_ID = {workspace_id!r}


def tell(path, body):
    headers = {{"Authorization": f"Bearer {{AUTH_TOKEN}}", "Content-Type": "application/json"}}
    request = urllib.request.Request(PLATFORM_URL + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


tell("/registry/register", json.loads({registration!r}))
while True:
    tell("/registry/heartbeat", {{"workspace_id": WORKSPACE_ID}})
    time.sleep(30)
"""


def _render_claude_code(workspace_id: str, token: str, platform_url: str, registration: str) -> str:
    """Return a script that installs the channel, writes its `.env` and starts Claude Code (REG-07).

    `registration` is ASCII, so that the `.env` can be read in any encoding.
    """
    name = f"molecule-{workspace_id[:8]}"
    environment = {"MOLECULE_URL": platform_url, "MOLECULE_TOKEN": token, "MOLECULE_REGISTRATION": registration}
    written = "\n".join(f"{key}={value}" for key, value in environment.items())
    return f"""\
# A session of Claude Code (2.1.80 or later, with python3) fills the workspace. Run this where it is to work.
umask 077
channel="$HOME/.claude/channels/{name}"
mkdir -p "$channel"

# 1. Install the channel, which Claude Code starts by itself.
cat > "$channel/channel.py" <<'{END_OF_HEREDOC}'
{snippets.load_snippet("claude_code").rstrip()}
{END_OF_HEREDOC}
claude mcp remove --scope user {name} >/dev/null 2>&1
claude mcp add --scope user {name} -- python3 "$channel/channel.py"

# 2. Write its .env: where the plane is, and the token of the workspace. Keep it to yourself.
cat > "$channel/.env" <<'{END_OF_HEREDOC}'
{written}
{END_OF_HEREDOC}

# 3. Start a session that listens to it. It asks whether to trust a channel that is not on the list of its makers.
claude --dangerously-load-development-channels server:{name}
"""
