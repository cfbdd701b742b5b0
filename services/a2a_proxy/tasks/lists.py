"""Reads what a list of tasks asks for, and filters the lists that agents answer with."""

import re
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

from molecule_a2a.model import Dialect
from molecule_a2a.tasks import STATES, downgrade_state
from services.a2a_proxy.model import JsonObject
from services.a2a_proxy.queue.model import QueuedMessage
from services.a2a_proxy.task_references import MAX_ID_LENGTH
from services.a2a_proxy.tasks.model import ListPosition, TaskListQuery
from services.a2a_proxy.tasks.views import find_time, limit_history

DEFAULT_PAGE_SIZE = 50

MAX_PAGE_SIZE = 100

PAGE_TOKEN = re.compile(r"([0-9]{1,17})-([0-9]{1,18})", re.ASCII)
"""The microseconds and the number of a position."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

MICROSECOND = timedelta(microseconds=1)


class InvalidQueryError(ValueError):
    """A list of tasks asks for something that there is not; the text is public."""


def parse_query(params: JsonObject) -> TaskListQuery:
    """Return what the params of a list ask for; raises `InvalidQueryError`."""
    history_length = params.get("historyLength", params.get("history_length"))
    return TaskListQuery(
        context_id=_parse_context(params.get("contextId", params.get("context_id"))),
        state=_parse_state(params.get("status")),
        changed_after=_parse_time(params.get("statusTimestampAfter", params.get("status_timestamp_after"))),
        page_size=_parse_page_size(params.get("pageSize", params.get("page_size"))),
        before=_parse_token(params.get("pageToken", params.get("page_token"))),
        history_length=history_length if isinstance(history_length, int) else None,
        has_artifacts=params.get("includeArtifacts", params.get("include_artifacts")) is True,
    )


def build_list(
    tasks: list[JsonObject], query: TaskListQuery, dialect: Dialect, *, total: int, before: ListPosition | None
) -> JsonObject:
    """Return the page of a list; `before` is the position after which the next page begins, `None` on the last one."""
    shown = [limit_history(task, query.history_length, dialect) for task in tasks]
    if not query.has_artifacts:
        shown = [{name: value for name, value in task.items() if name != "artifacts"} for task in shown]
    token = "" if before is None else f"{(before.changed_at - EPOCH) // MICROSECOND}-{before.seq}"
    return {"tasks": shown, "nextPageToken": token, "pageSize": query.page_size, "totalSize": total}


def find_position(message: QueuedMessage) -> ListPosition:
    """Return where a page ends whose last task stands for a message."""
    return ListPosition(find_time(message), message.seq)


def find_tasks(result: object) -> list[Any] | None:
    """Return the tasks in the result of an agent; `None` for a result that is no list of tasks."""
    if isinstance(result, list):
        return result
    if not isinstance(result, dict):
        return None
    tasks = result.get("tasks", [])  # ProtoJSON leaves out an empty list
    return tasks if isinstance(tasks, list) else None


def list_ids(tasks: list[Any]) -> list[str]:
    """Return the ids of tasks that the register could know."""
    ids = (task.get("id") for task in tasks if isinstance(task, dict))
    return [id_ for id_ in ids if isinstance(id_, str) and len(id_) <= MAX_ID_LENGTH and "\0" not in id_]


def keep_visible(result: Any, visible: Collection[str], *, most: int) -> Any:  # noqa: ANN401 - JSON is anything
    """Return the result of an agent with the visible tasks only.

    `most` is how many tasks of the workspace the caller owns, so `totalSize` is never larger. `pageSize` stays, because
    it is the size that the caller asked for: a page may hold fewer tasks, even none before the last page.
    """
    kept = [task for task in find_tasks(result) or [] if isinstance(task, dict) and task.get("id") in visible]
    if isinstance(result, list):
        return kept
    filtered = {**result, "tasks": kept}
    total = result.get("totalSize")
    if isinstance(total, int):
        filtered["totalSize"] = max(min(total, most), len(kept))
    return filtered


def _parse_context(value: object) -> str | None:
    if value is None or value == "":
        return None
    if isinstance(value, str) and len(value) <= MAX_ID_LENGTH and "\0" not in value:
        return value
    raise InvalidQueryError(f"contextId must be a text of at most {MAX_ID_LENGTH} characters")


def _parse_state(value: object) -> str | None:
    if value is None or value in ("", "TASK_STATE_UNSPECIFIED", 0):
        return None
    state = downgrade_state(value)
    if state == "unknown":
        raise InvalidQueryError(f"status must be one of: {', '.join(list(STATES.values())[1:])}")
    return state


def _parse_time(value: object) -> datetime | None:
    if value is None or value == "":
        return None
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise InvalidQueryError("statusTimestampAfter must be a time with a zone")
    return at


def _parse_page_size(value: object) -> int:
    if value is None:
        return DEFAULT_PAGE_SIZE
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_PAGE_SIZE:
        raise InvalidQueryError(f"pageSize must be an integer from 1 to {MAX_PAGE_SIZE}")
    return value


def _parse_token(value: object) -> ListPosition | None:
    if value is None or value == "":
        return None
    found = PAGE_TOKEN.fullmatch(value) if isinstance(value, str) else None
    if found is not None:
        return ListPosition(EPOCH + int(found[1]) * MICROSECOND, int(found[2]))
    raise InvalidQueryError("pageToken must be one of an earlier page")
