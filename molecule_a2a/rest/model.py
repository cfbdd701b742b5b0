"""The values of the HTTP+JSON binding: requests, answers, events, and the operation that a path names."""

from dataclasses import dataclass

from molecule_a2a.model import AnswerConversion, Dialect, JsonObject, Operation


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What an HTTP method and a path ask for."""

    operation: Operation
    dialect: Dialect
    """The version of the binding: of its paths and of its bodies."""
    task_id: str = ""
    config_id: str = ""
    tenant: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """A request to an agent that offers HTTP+JSON."""

    method: str
    path: str
    """Below the address of the interface; percent-encoded."""
    query: str = ""
    """Percent-encoded; without a question mark."""
    body: JsonObject | None = None


@dataclass(frozen=True, slots=True)
class AgentRequest:
    """A request to an agent that offers HTTP+JSON, and how its answer is converted."""

    http: HttpRequest
    request_id: object
    """The id of the JSON-RPC request, which its answer repeats."""
    target: Target
    answer: AnswerConversion


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """An answer to a client of the binding."""

    status: int
    body: object

    @property
    def is_error(self) -> bool:
        """Whether it is an error, which is `application/json` in 1.0 too."""
        return self.status >= MIN_ERROR_STATUS


@dataclass(frozen=True, slots=True)
class RestEvent:
    """One event of a stream. `name` is the type of the server-sent event; empty for the usual one."""

    data: object
    name: str = ""


MIN_ERROR_STATUS = 400

ERROR_EVENT = "error"
"""The type of the event that reports an error within a stream."""
