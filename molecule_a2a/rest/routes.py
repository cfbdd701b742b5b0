"""Finds what an HTTP method and a path ask for, and builds the path of an operation."""

from collections.abc import Iterator, Mapping
from urllib.parse import quote, unquote_to_bytes

from molecule_a2a.model import Dialect, Operation
from molecule_a2a.rest.model import HttpRequest, Target

LEGACY_PREFIX = "v1"
"""The first step of the paths of 0.3. A tenant of 1.0 cannot have this name."""

PUSH_CONFIGS = "pushNotificationConfigs"

TASK_VERBS = {"cancel": (Operation.CANCEL_TASK, ("POST",)), "subscribe": (Operation.SUBSCRIBE_TO_TASK, ("POST", "GET"))}
"""What follows the id of a task after a colon, with the methods. Clients of 0.3 subscribe by GET, and SDKs by POST."""

CARD_PATHS = {Dialect.CURRENT: "extendedAgentCard", Dialect.LEGACY: "card"}

ROUTES: Mapping[Dialect, tuple[tuple[str, str, Operation], ...]] = {
    dialect: tuple(
        (method, f"{prefix}{path}", operation)
        for method, path, operation in (
            ("POST", "/message:send", Operation.SEND_MESSAGE),
            ("POST", "/message:stream", Operation.SEND_STREAMING_MESSAGE),
            ("GET", "/tasks", Operation.LIST_TASKS),
            ("GET", "/tasks/{taskId}", Operation.GET_TASK),
            ("POST", "/tasks/{taskId}:cancel", Operation.CANCEL_TASK),
            ("GET", "/tasks/{taskId}:subscribe", Operation.SUBSCRIBE_TO_TASK),
            ("POST", "/tasks/{taskId}:subscribe", Operation.SUBSCRIBE_TO_TASK),
            ("POST", "/tasks/{taskId}/pushNotificationConfigs", Operation.CREATE_PUSH_CONFIG),
            ("GET", "/tasks/{taskId}/pushNotificationConfigs", Operation.LIST_PUSH_CONFIGS),
            ("GET", "/tasks/{taskId}/pushNotificationConfigs/{configId}", Operation.GET_PUSH_CONFIG),
            ("DELETE", "/tasks/{taskId}/pushNotificationConfigs/{configId}", Operation.DELETE_PUSH_CONFIG),
            ("GET", f"/{CARD_PATHS[dialect]}", Operation.GET_EXTENDED_CARD),
        )
        if dialect is Dialect.CURRENT or operation is not Operation.LIST_TASKS
    )
    for dialect, prefix in ((Dialect.CURRENT, ""), (Dialect.LEGACY, f"/{LEGACY_PREFIX}"))
}
"""Method, path and operation of every route. 0.3 lists no tasks."""


def find_targets(path: str) -> dict[str, Target]:
    """Return what each HTTP method asks for at a path; nothing for a path that the binding does not have.

    `path` is percent-encoded and begins with a slash. A colon belongs to the id of a task where it is percent-encoded,
    or where no verb with the method follows.
    """
    steps = path.split("/")[1:]
    if find_path_dialect(path) is Dialect.LEGACY:
        return _match(steps[1:], Dialect.LEGACY, "")
    found = _match(steps, Dialect.CURRENT, "")
    if found or len(steps) < 2:  # noqa: PLR2004 - a tenant, and what it is asked for
        return found
    tenant = _decode(steps[0])
    return _match(steps[1:], Dialect.CURRENT, tenant) if tenant else {}


def find_path_dialect(path: str) -> Dialect:
    """Return the version of the binding that a path belongs to."""
    return Dialect.LEGACY if path.split("/")[1:2] == [LEGACY_PREFIX] else Dialect.CURRENT


def find_template(method: str, target: Target) -> str:
    """Return the path of an operation with the names of its parameters, without a tenant."""
    return next(
        path
        for known, path, operation in ROUTES[target.dialect]
        if operation is target.operation and method in {known, "HEAD"}
    )


def build_http_request(target: Target, *, query: str = "", body: dict[str, object] | None = None) -> HttpRequest:
    """Return the request for an operation, whose ids are not empty."""
    found = {method: path for method, path, operation in ROUTES[target.dialect] if operation is target.operation}
    method = _SUBSCRIPTION_METHODS[target.dialect] if len(found) > 1 else next(iter(found))
    path = (
        found[method]
        .replace("{taskId}", quote(target.task_id, safe=""))
        .replace("{configId}", quote(target.config_id, safe=""))
    )
    tenant = f"/{quote(target.tenant, safe='')}" if target.tenant and target.dialect is Dialect.CURRENT else ""
    return HttpRequest(method=method, path=tenant + path, query=query, body=body if method == "POST" else None)


_SUBSCRIPTION_METHODS = {Dialect.CURRENT: "POST", Dialect.LEGACY: "GET"}
"""How a subscription is asked for, of the two methods that it has: SDKs of 0.3 serve GET only."""


def _match(steps: list[str], dialect: Dialect, tenant: str) -> dict[str, Target]:
    return {
        method: Target(operation=operation, dialect=dialect, task_id=task_id, config_id=config_id, tenant=tenant)
        for method, operation, task_id, config_id in _list_matches(steps)
        if dialect is Dialect.CURRENT or operation is not Operation.LIST_TASKS
        if operation is not Operation.GET_EXTENDED_CARD or steps == [CARD_PATHS[dialect]]
    }


def _list_matches(steps: list[str]) -> Iterator[tuple[str, Operation, str, str]]:
    """Yield methods and operations of a path, with the ids of the task and of the config."""
    match steps:
        case ["tasks"]:
            yield "GET", Operation.LIST_TASKS, "", ""
        case ["extendedAgentCard" | "card"]:
            yield "GET", Operation.GET_EXTENDED_CARD, "", ""
        case [step] if _decode(step) == "message:send":
            yield "POST", Operation.SEND_MESSAGE, "", ""
        case [step] if _decode(step) == "message:stream":
            yield "POST", Operation.SEND_STREAMING_MESSAGE, "", ""
        case ["tasks", step]:
            yield from _list_task_matches(step)
        case ["tasks", step, "pushNotificationConfigs"] if task_id := _decode(step):
            yield "POST", Operation.CREATE_PUSH_CONFIG, task_id, ""
            yield "GET", Operation.LIST_PUSH_CONFIGS, task_id, ""
        case ["tasks", step, "pushNotificationConfigs", last] if (task_id := _decode(step)) and (id_ := _decode(last)):
            yield "GET", Operation.GET_PUSH_CONFIG, task_id, id_
            yield "DELETE", Operation.DELETE_PUSH_CONFIG, task_id, id_
        case _:
            return


def _list_task_matches(step: str) -> Iterator[tuple[str, Operation, str, str]]:
    name, colon, verb = step.rpartition(":")
    if colon and verb in TASK_VERBS:
        operation, methods = TASK_VERBS[verb]
        if task_id := _decode(name):
            yield from ((method, operation, task_id, "") for method in methods)
        if "GET" in methods:
            return
    if task_id := _decode(step):
        yield "GET", Operation.GET_TASK, task_id, ""


def _decode(step: str) -> str:
    """Return a step of a path; empty for one that is no text, or that has a NUL, which cannot be stored."""
    try:
        decoded = unquote_to_bytes(step).decode()
    except UnicodeDecodeError:
        return ""
    return "" if "\0" in decoded else decoded
