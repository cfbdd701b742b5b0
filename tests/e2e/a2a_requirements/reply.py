"""What a server of A2A answered, in the same form for every binding and generation."""

from dataclasses import dataclass, field
from typing import Any

JsonObject = dict[str, Any]

REASONS_BY_CODE = {
    -32700: "PARSE_ERROR",
    -32600: "INVALID_REQUEST",
    -32601: "METHOD_NOT_FOUND",
    -32602: "INVALID_PARAMS",
    -32603: "INTERNAL_ERROR",
    -32001: "TASK_NOT_FOUND",
    -32002: "TASK_NOT_CANCELABLE",
    -32003: "PUSH_NOTIFICATION_NOT_SUPPORTED",
    -32004: "UNSUPPORTED_OPERATION",
    -32005: "CONTENT_TYPE_NOT_SUPPORTED",
    -32006: "INVALID_AGENT_RESPONSE",
    -32007: "EXTENDED_AGENT_CARD_NOT_CONFIGURED",
    -32008: "EXTENSION_SUPPORT_REQUIRED",
    -32009: "VERSION_NOT_SUPPORTED",
}
"""The reason of each error code of JSON-RPC."""

DOMAIN = "a2a-protocol.org"

ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer, or one event of a stream.

    `reason` names the error and is empty for a result. `value` is the result as JSON of 1.0, whatever the generation;
    `raw` is what came: the body, or the message of gRPC as JSON. `status` is that of HTTP, or the code of gRPC by name.
    """

    reason: str = ""
    value: Any = None
    raw: Any = None
    status: int | str = 200
    media_type: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def result(self) -> Any:
        """The result; an error fails the check."""
        assert not self.reason, f"refused with {self.reason}: {self.raw}"
        return self.value

    @property
    def task(self) -> JsonObject:
        """The task of the result, which may be wrapped as the answer to a message is."""
        result = self.result
        task = result.get("task", result)
        assert isinstance(task, dict), f"no task: {self.raw}"
        assert "id" in task, f"no task: {self.raw}"
        return task

    def must_be(self, *reasons: str) -> None:
        """Fail the check unless the answer is an error with one of these reasons."""
        assert self.reason in reasons, f"{self.reason or 'a result'} instead of {' or '.join(reasons)}: {self.raw}"


def get_state(task: JsonObject) -> str:
    """Return the state of a task or a status update, without its prefix."""
    return task["status"]["state"].removeprefix("TASK_STATE_")


def find_reason(details: Any) -> str:
    """Return the reason of the `ErrorInfo` among the details of an error, or nothing."""
    for detail in details if isinstance(details, list) else []:
        if isinstance(detail, dict) and detail.get("@type") == ERROR_INFO:
            return str(detail.get("reason", ""))
    return ""
