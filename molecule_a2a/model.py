"""What the conversion is about: dialects and operations of A2A, and what the answer to a request needs."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

JsonObject = dict[str, Any]


class Dialect(StrEnum):
    """The versions of A2A that have one JSON form. The value is the A2A-Version to send."""

    LEGACY = "0.3"
    """0.2 and 0.3."""
    CURRENT = "1.0"
    """1.0, and later versions with the same major number."""


class Operation(StrEnum):
    """What a JSON-RPC method does. The value is the name of the method in 1.0."""

    SEND_MESSAGE = "SendMessage"
    SEND_STREAMING_MESSAGE = "SendStreamingMessage"
    GET_TASK = "GetTask"
    LIST_TASKS = "ListTasks"
    CANCEL_TASK = "CancelTask"
    SUBSCRIBE_TO_TASK = "SubscribeToTask"
    CREATE_PUSH_CONFIG = "CreateTaskPushNotificationConfig"
    GET_PUSH_CONFIG = "GetTaskPushNotificationConfig"
    LIST_PUSH_CONFIGS = "ListTaskPushNotificationConfigs"
    DELETE_PUSH_CONFIG = "DeleteTaskPushNotificationConfig"
    GET_EXTENDED_CARD = "GetExtendedAgentCard"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerConversion:
    """How the answer to a converted request becomes the answer to its caller."""

    operation: Operation | None
    """What the caller asked for; `None` for a method that A2A does not have, whose answer stays as it is."""
    caller: Dialect
    """The form that the caller reads."""
    drops_history: bool = False
    """The caller asked for no history, which 0.3 cannot express: there, a length of 0 means no limit."""
    takes_first_config: bool = False
    """The caller asked for any push notification config of a task, and the agent was asked for all of them."""


@dataclass(frozen=True, slots=True)
class ConvertedRequest:
    """A JSON-RPC request for the agent, and how its answer is converted."""

    request: JsonObject
    answer: AnswerConversion
