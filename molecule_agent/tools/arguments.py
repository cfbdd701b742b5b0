"""The arguments of each tool, as types from which its JSON schema is made and by which arguments are checked."""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

MAX_WAIT_SECONDS = 86_400

Target = Annotated[str, Meta(description="Id or name of a peer, as list_peers shows it.", min_length=1)]
Task = Annotated[str, Meta(description="The whole task. The peer sees nothing else of your work.", min_length=1)]
Scope = Literal["LOCAL", "TEAM"]


class NoArguments(Struct, forbid_unknown_fields=True):
    """A tool without arguments."""


class PeerQuery(Struct, forbid_unknown_fields=True):
    query: Annotated[str, Meta(description="A part of the name or role; empty for all peers.")] = ""


class DelegatedTask(Struct, forbid_unknown_fields=True):
    target: Target
    task: Task


class AwaitedTask(Struct, forbid_unknown_fields=True):
    target: Target
    task: Task
    timeout_seconds: Annotated[
        float, Meta(description="How long to wait for the result.", gt=0, le=MAX_WAIT_SECONDS)
    ] = 600.0


class DelegationId(Struct, forbid_unknown_fields=True):
    delegation_id: Annotated[str, Meta(description="The id that delegate_task_async returned.", min_length=1)]


class UserMessage(Struct, forbid_unknown_fields=True):
    message: Annotated[str, Meta(description="The text, as people shall read it.", min_length=1)]
    attachments: Annotated[
        list[Any],
        Meta(
            description="Paths of files to attach, such as /tmp/report.pdf.",
            extra_json_schema={"items": {"type": "string"}},
        ),
    ] = []


class ActivityReport(Struct, forbid_unknown_fields=True):
    summary: Annotated[str, Meta(description="What was done, in one sentence.", min_length=1)]
    activity_type: Literal["task_update", "agent_log", "skill_promotion", "memory_write", "error"] = "task_update"
    status: Annotated[str, Meta(description="ok or error")] = "ok"
    error_detail: Annotated[str, Meta(description="The error, if there was one.")] = ""


class NewMemory(Struct, forbid_unknown_fields=True):
    content: Annotated[str, Meta(description="What to remember.", min_length=1)]
    scope: Annotated[Scope, Meta(description="TEAM shares it with the workspaces beside and above.")] = "LOCAL"
    namespace: Annotated[str, Meta(description="A topic, by which it can be found.", min_length=1)] = "general"


class MemoryQuery(Struct, forbid_unknown_fields=True):
    query: Annotated[str, Meta(description="Words to look for; empty for the newest.")] = ""
    scope: Annotated[Scope | None, Meta(description="Without it, the own memories are searched.")] = None
    namespace: str | None = None
    limit: Annotated[int, Meta(ge=1, le=50)] = 10


class ApprovalRequest(Struct, forbid_unknown_fields=True):
    action: Annotated[str, Meta(description="What you want to do, as the person shall read it.", min_length=1)]
    reason: Annotated[str, Meta(description="Why it is needed.")] = ""
    timeout_seconds: Annotated[float, Meta(description="How long to wait.", gt=0, le=MAX_WAIT_SECONDS)] = 660.0
