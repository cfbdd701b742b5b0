"""What agents report: activity of their workspaces, and messages to people."""

from typing import Annotated, Any, Literal

from pydantic import Field
from typing_extensions import TypedDict

from gateway.schemas.request_model import Int64, RequestModel, WorkspaceId


class NewActivity(RequestModel):
    """Body of POST /workspaces/{id}/activity."""

    activity_type: Annotated[str, Field(json_schema_extra={"minLength": 1})] = ""
    method: str | None = None
    summary: str | None = None
    target_id: WorkspaceId | None = None
    source_id: WorkspaceId | None = None
    status: str = ""
    error_detail: str | None = None
    duration_ms: Int64 | None = None
    request_body: Any = None
    response_body: Any = None
    metadata: Any = None


class LoggedActivity(TypedDict):
    """Answer of a row that was added to the activity."""

    status: Literal["logged"]


class NewAttachment(RequestModel):
    """A file that belongs to a message to people."""

    uri: str = ""
    name: str = ""
    mime_type: Annotated[str | None, Field(alias="mimeType")] = None
    size: Int64 | None = None


class NewAgentMessage(RequestModel):
    """Body of POST /workspaces/{id}/notify."""

    message: str = ""
    attachments: Annotated[list[NewAttachment], Field(default_factory=list)]


class SentAgentMessage(TypedDict):
    """Answer of a message that was sent to people."""

    status: Literal["sent"]
