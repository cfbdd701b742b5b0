"""The tools of agents send what the REST contract says, and fail with the reason."""

import pytest

from molecule_agent.adapter import Turn
from molecule_agent.credentials import Credentials
from molecule_agent.plane_client import PlaneClient
from molecule_agent.tools.errors import ToolError
from molecule_agent.tools.registry import build_tools
from molecule_agent.tools.workspace_tools import WorkspaceTools
from molecule_agent.turn_context import build_context, use_context
from tests.molecule_agent.conftest import WORKSPACE_ID
from tests.molecule_agent.fake_tool_plane import PEER, FakeToolPlane


@pytest.fixture
async def tool_plane():
    plane = FakeToolPlane()
    async with plane.open():
        yield plane


@pytest.fixture
async def functions(tool_plane, tmp_path):
    async with PlaneClient(tool_plane.url, Credentials(tmp_path)) as client:
        yield WorkspaceTools(client, WORKSPACE_ID)


@pytest.fixture
def tools(functions):
    return {tool.name: tool for tool in build_tools(functions)}


def build_turn(message_id="m-1", **metadata):
    return Turn(text="", parts=[], context_id="c", message_id=message_id, task_id="t", metadata=metadata)


@pytest.mark.covers("AGT-07")
async def test_each_attachment_is_uploaded_before_the_message_is_sent(tool_plane, tools, tmp_path):
    paths = [tmp_path / name for name in ("a.pdf", "b.strange")]
    for path in paths:
        path.write_bytes(path.name.encode())

    given = {"message": "here", "attachments": [str(path) for path in paths] + [3, None]}
    assert await tools["send_message_to_user"].call(given) == "sent"

    assert tool_plane.uploads == [
        ("a.pdf", "application/pdf", b"a.pdf"),
        ("b.strange", "application/octet-stream", b"b.strange"),
    ]
    attached = [{"uri": f"workspace:/{path.name}", "name": path.name, "size": 1} for path in paths]
    assert tool_plane.notified == [{"message": "here", "attachments": attached}]


@pytest.mark.covers("AGT-07")
async def test_a_message_without_attachments_uploads_nothing(tool_plane, tools):
    await tools["send_message_to_user"].call({"message": "here"})

    assert (tool_plane.uploads, tool_plane.notified) == ([], [{"message": "here"}])


@pytest.mark.covers("AGT-07")
async def test_a_missing_file_and_a_failed_upload_send_nothing(tool_plane, tools, tmp_path):
    present = tmp_path / "present.txt"
    present.write_text("x")
    with pytest.raises(ToolError, match=r"missing\.txt: no such file"):
        await tools["send_message_to_user"].call(
            {"message": "m", "attachments": [str(present), str(tmp_path / "missing.txt")]}
        )
    assert tool_plane.uploads == []

    tool_plane.upload_status = 502
    with pytest.raises(ToolError, match="502 workspace unreachable"):
        await tools["send_message_to_user"].call({"message": "m", "attachments": [str(present)]})
    assert tool_plane.notified == []


@pytest.mark.covers("AGT-09")
async def test_reported_activity_is_cut_to_its_limits(tool_plane, functions):
    await functions.report_activity("s" * 300, error_detail="e" * 5000, status="error", activity_type="error")

    [row] = tool_plane.reported
    assert (row["summary"], row["error_detail"]) == ("s" * 256, "e" * 4096)
    assert (row["activity_type"], row["status"]) == ("error", "error")


async def test_a_delegation_belongs_to_the_work_of_the_turn_and_returns_its_text(tool_plane, tools):
    with use_context(build_context(build_turn(lineage_token="token-1"))):
        text = await tools["delegate_task"].call({"target": "echo", "task": "count"})

    assert text == "count"
    [body] = tool_plane.delegations.values()
    assert (body["target_id"], body["task"], body["lineage_token"]) == (PEER, "count", "token-1")


async def test_a_turn_that_runs_again_finds_its_delegations_again(tool_plane, functions):
    async def run(turn, key=""):
        with use_context(build_context(turn, key=key)):
            return [await functions.delegate_async("echo", task) for task in ("one", "two", "one")]

    first, second = await run(build_turn(), key="q-1"), await run(build_turn(), key="q-1")

    assert first == second
    assert len(set(first)) == 3
    assert not set(first) & set(await run(build_turn(), key="q-2"))
    assert not set(await run(build_turn())) & set(await run(build_turn()))
    delegated = build_turn(lineage_token="token-1")
    assert await run(delegated) == await run(delegated)


async def test_a_failed_delegation_and_an_unknown_one_say_why(tools):
    with pytest.raises(ToolError, match="failed: the agent answered with an error"):
        await tools["delegate_task"].call({"target": PEER, "task": "fail"})
    with pytest.raises(ToolError, match="404 delegation not found"):
        await tools["check_task_status"].call({"delegation_id": "none/at all"})
    with pytest.raises(ToolError, match="no peer is called 'nobody'; the peers are: echo"):
        await tools["delegate_task"].call({"target": "nobody", "task": "t"})


@pytest.mark.parametrize(
    ("name", "arguments", "reason"),
    [
        ("delegate_task", {"target": "echo"}, "missing required field `task`"),
        ("delegate_task", {"target": "echo", "task": 3}, "Expected `str`, got `int`"),
        ("list_peers", {"other": 1}, "unknown field `other`"),
        ("commit_memory", {"content": "c", "scope": "GLOBAL"}, "Invalid enum value 'GLOBAL'"),
    ],
)
async def test_arguments_that_do_not_fit_are_refused_before_anything_is_sent(tools, name, arguments, reason):
    with pytest.raises(ToolError, match=f"invalid arguments: .*{reason}"):
        await tools[name].call(arguments)


def test_schemas_are_whole_objects_without_references(tools):
    for tool in tools.values():
        assert (tool.input_schema["type"], "$ref" in str(tool.input_schema)) == ("object", False), tool.name
        assert tool.description
