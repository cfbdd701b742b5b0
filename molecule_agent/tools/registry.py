"""All tools with descriptions and schemas, for models. The adapters of models and the MCP server use this list."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, NamedTuple

import msgspec

from molecule_agent.tools import arguments
from molecule_agent.tools.errors import ToolError
from molecule_agent.tools.workspace_tools import WorkspaceTools


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that a model can call."""

    name: str
    description: str
    """What it does and when to use it, for the model."""
    input_schema: dict[str, Any]
    """The JSON schema of its arguments."""
    _arguments: type[msgspec.Struct]
    _run: Callable[[Any], Awaitable[str]]

    async def call(self, arguments: Mapping[str, Any]) -> str:
        """Run the tool and return its result as text. Raises ToolError, also for arguments that do not fit."""
        try:
            given = msgspec.convert(arguments, self._arguments)
        except msgspec.ValidationError as error:
            raise ToolError(f"invalid arguments: {error}") from error
        return await self._run(given)


def build_tools(functions: WorkspaceTools) -> tuple[Tool, ...]:
    """Build the tools of a workspace."""
    return tuple(
        Tool(one.name, one.description, _build_schema(one.arguments), one.arguments, partial(one.run, functions))
        for one in _TOOLS
    )


class _Definition(NamedTuple):
    """One tool of any workspace."""

    name: str
    run: Callable[[WorkspaceTools, Any], Awaitable[str]]
    arguments: type[msgspec.Struct]
    description: str


def _build_schema(arguments_type: type[msgspec.Struct]) -> dict[str, Any]:
    """Build a JSON schema without references, because not every model follows them."""
    _, definitions = msgspec.json.schema_components([arguments_type])
    schema: dict[str, Any] = definitions[arguments_type.__name__]
    return {name: value for name, value in schema.items() if name not in {"title", "description"}}


def _render(result: object) -> str:
    return json.dumps(result, ensure_ascii=False, default=str)


async def _list_peers(functions: WorkspaceTools, given: arguments.PeerQuery) -> str:
    return _render([asdict(peer) for peer in await functions.list_peers(given.query)])


async def _get_workspace_info(functions: WorkspaceTools, _: arguments.NoArguments) -> str:
    return _render(await functions.get_workspace_info())


async def _delegate_task(functions: WorkspaceTools, given: arguments.AwaitedTask) -> str:
    return await functions.delegate(given.target, given.task, timeout_seconds=given.timeout_seconds)


async def _delegate_task_async(functions: WorkspaceTools, given: arguments.DelegatedTask) -> str:
    return _render({"delegation_id": await functions.delegate_async(given.target, given.task)})


async def _check_task_status(functions: WorkspaceTools, given: arguments.DelegationId) -> str:
    found = asdict(await functions.check_task_status(given.delegation_id))
    return _render({name: value for name, value in found.items() if value != ""})


async def _send_message_to_user(functions: WorkspaceTools, given: arguments.UserMessage) -> str:
    paths = [path for path in given.attachments if isinstance(path, str)]
    await functions.send_message_to_user(given.message, paths)
    return "sent"


async def _report_activity(functions: WorkspaceTools, given: arguments.ActivityReport) -> str:
    await functions.report_activity(
        given.summary,
        activity_type=given.activity_type,
        status=given.status,
        error_detail=given.error_detail,
    )
    return "logged"


async def _commit_memory(functions: WorkspaceTools, given: arguments.NewMemory) -> str:
    id_ = await functions.commit_memory(given.content, scope=given.scope, namespace=given.namespace)
    return _render({"id": id_})


async def _recall_memory(functions: WorkspaceTools, given: arguments.MemoryQuery) -> str:
    found = await functions.recall_memory(given.query, scope=given.scope, namespace=given.namespace, limit=given.limit)
    return _render(found)


async def _request_approval(functions: WorkspaceTools, given: arguments.ApprovalRequest) -> str:
    decided = await functions.request_approval(given.action, reason=given.reason, timeout_seconds=given.timeout_seconds)
    return _render(asdict(decided))


_TOOLS: tuple[_Definition, ...] = (
    _Definition(
        "list_peers",
        _list_peers,
        arguments.PeerQuery,
        "List the other agents that you may give tasks to, with their skills.",
    ),
    _Definition(
        "get_workspace_info",
        _get_workspace_info,
        arguments.NoArguments,
        "Show your own workspace: name, role, status, budget.",
    ),
    _Definition(
        "delegate_task",
        _delegate_task,
        arguments.AwaitedTask,
        "Give a task to another agent, wait for it, and return its result. Use it for what a peer does better.",
    ),
    _Definition(
        "delegate_task_async",
        _delegate_task_async,
        arguments.DelegatedTask,
        "Give a task to another agent without waiting. Returns a delegation_id for check_task_status.",
    ),
    _Definition(
        "check_task_status",
        _check_task_status,
        arguments.DelegationId,
        "Show the status of a delegated task and, once it is completed, its result.",
    ),
    _Definition(
        "send_message_to_user",
        _send_message_to_user,
        arguments.UserMessage,
        "Send a message to the people who watch this workspace, with files if there are any.",
    ),
    _Definition(
        "report_activity",
        _report_activity,
        arguments.ActivityReport,
        "Report progress or an error to the activity log.",
    ),
    _Definition(
        "commit_memory",
        _commit_memory,
        arguments.NewMemory,
        "Remember something beyond this conversation. Store no secrets.",
    ),
    _Definition("recall_memory", _recall_memory, arguments.MemoryQuery, "Search what was remembered."),
    _Definition(
        "request_approval",
        _request_approval,
        arguments.ApprovalRequest,
        "Ask a person to approve an action, and wait for the decision. Act only if the status is approved.",
    ),
)
