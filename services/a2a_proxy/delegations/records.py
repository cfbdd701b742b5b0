"""Builds the activity rows and the events of a delegation (docs/spec/rest.md, 6.5 and 8.1)."""

from uuid import UUID, uuid5

from services.a2a_proxy.delegations.model import Delegation, DelegationRow, DelegationStatus
from services.a2a_proxy.model import Activity, StoredEvent, StoredEventType
from services.chassis import strict_json

ACTIVITY_TYPE = "delegation"

REQUEST_METHOD = "delegate"

RESULT_METHOD = "delegate_result"

QUEUED_SUMMARY = "Delegation queued — target at capacity"

VIA_QUEUE = "queue_drain"
"""Marks the completion of a delegation whose target had been busy."""

MAX_TASK_PREVIEW = 100

MAX_RESULT_PREVIEW = 200

MAX_LISTED_PREVIEW = 300

MAX_SUMMARY_PREVIEW = 80


def cut_task(task: str) -> str:
    """Return the preview of a task."""
    return task[:MAX_TASK_PREVIEW]


def build_request_row(delegation: Delegation, task: str) -> Activity:
    """Return the row of the request in the activity of the source."""
    body = {"delegation_id": delegation.delegation_id, "target_id": delegation.target_id, "task": task}
    return Activity(
        id=get_request_row_id(delegation),
        workspace_id=delegation.source_id,
        activity_type=ACTIVITY_TYPE,
        created_at=delegation.created_at,
        status=delegation.status.value,
        source_id=delegation.source_id,
        target_id=delegation.target_id,
        method=REQUEST_METHOD,
        summary=summarise_request(delegation),
        request_body=strict_json.dump(body).decode(),
    )


def build_result_row(delegation: Delegation) -> Activity | None:
    """Return the row of the result in the activity of the source; `None` while there is none."""
    if delegation.result_at is None:
        return None
    body: dict[str, object] = {"delegation_id": delegation.delegation_id}
    if delegation.is_open:
        body["queued"] = True
    elif delegation.text is not None:
        body["text"] = delegation.text
    return Activity(
        id=get_result_row_id(delegation),
        workspace_id=delegation.source_id,
        activity_type=ACTIVITY_TYPE,
        created_at=delegation.result_at,
        status=delegation.status.value,
        source_id=delegation.source_id,
        target_id=delegation.target_id,
        method=RESULT_METHOD,
        summary=summarise_result(delegation),
        error_detail=delegation.error,
        response_body=strict_json.dump(body).decode(),
    )


def build_refusal_row(delegation: Delegation, task: str, error: str) -> Activity:
    """Return the row of a delegation that is refused before anything is sent (BEY-07)."""
    row = build_request_row(delegation, task)
    return Activity(
        id=row.id,
        workspace_id=row.workspace_id,
        activity_type=row.activity_type,
        created_at=row.created_at,
        status=DelegationStatus.FAILED.value,
        source_id=row.source_id,
        target_id=row.target_id,
        method=row.method,
        summary=f"Delegation refused: {error}",
        error_detail=error,
        request_body=row.request_body,
    )


def list_rows(delegation: Delegation) -> list[DelegationRow]:
    """Return the lines of a delegation in the list of its source, the newest first."""
    request = DelegationRow(
        id=get_request_row_id(delegation),
        delegation=delegation,
        summary=summarise_request(delegation),
        created_at=delegation.created_at,
        is_result=False,
    )
    if delegation.result_at is None:
        return [request]
    result = DelegationRow(
        id=get_result_row_id(delegation),
        delegation=delegation,
        summary=summarise_result(delegation),
        created_at=delegation.result_at,
        is_result=True,
    )
    return [result, request]


def build_event(before: Delegation | None, after: Delegation) -> StoredEvent | None:
    """Return the event about a change, or about a new delegation; `None` if its status is the same.

    The id follows from the delegation and its status, so a status is announced once.
    """
    if before is None:
        payload = {"target_id": after.target_id, "task_preview": after.task_preview}
        return _build(after, StoredEventType.DELEGATION_SENT, payload)
    if before.status is after.status:
        return None
    match after.status:
        case DelegationStatus.COMPLETED:
            payload = {"target_id": after.target_id, "response_preview": (after.text or "")[:MAX_RESULT_PREVIEW]}
            if after.was_busy:
                payload["via"] = VIA_QUEUE
            return _build(after, StoredEventType.DELEGATION_COMPLETE, payload)
        case DelegationStatus.FAILED | DelegationStatus.EXPIRED:
            payload = {"target_id": after.target_id, "error": after.error or ""}
            return _build(after, StoredEventType.DELEGATION_FAILED, payload)
        case _:
            payload = {"target_id": after.target_id, "status": after.status.value}
            return _build(after, StoredEventType.DELEGATION_STATUS, payload)


def get_request_row_id(delegation: Delegation) -> str:
    """Return the id of the row of the request."""
    return str(uuid5(UUID(delegation.id), "request"))


def get_result_row_id(delegation: Delegation) -> str:
    """Return the id of the row of the result."""
    return str(uuid5(UUID(delegation.id), "result"))


def summarise_request(delegation: Delegation) -> str:
    """Return the line about a request."""
    return f"Delegation to {delegation.target_id}: {delegation.task_preview}"


def summarise_result(delegation: Delegation) -> str:
    """Return the line about a result, or about a target that is busy."""
    match delegation.status:
        case DelegationStatus.COMPLETED:
            return f"Delegation completed ({(delegation.text or '')[:MAX_SUMMARY_PREVIEW]})"
        case DelegationStatus.FAILED | DelegationStatus.CANCELLED | DelegationStatus.EXPIRED:
            return f"Delegation {delegation.status.value}: {delegation.error or ''}"
        case _:
            return QUEUED_SUMMARY


def _build(delegation: Delegation, type_: StoredEventType, payload: dict[str, str]) -> StoredEvent:
    return StoredEvent(
        id=str(uuid5(UUID(delegation.id), f"{type_.value}:{delegation.status.value}")),
        type=type_,
        workspace_id=delegation.source_id,
        payload={"delegation_id": delegation.delegation_id} | payload,
    )
