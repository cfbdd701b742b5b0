"""Where the start of a workspace stands: checks what the provisioner reports, and describes it for people."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from services.registry.errors.workspaces import InvalidValue
from services.registry.workspace.model import (
    NO_BACKEND,
    BackendEvent,
    ProvisioningView,
    Reason,
    Status,
    Workspace,
    WorkspaceId,
)
from services.registry.workspace.status_texts import describe_exit

MAX_REPORTS = 1_000
"""Reports in one call."""

MAX_EVENTS = 10
"""Events that are kept of a workspace: the last ones."""

MAX_MISSING_NAMES = 50
"""Missing variables that are kept of a workspace."""

MAX_NAME_CHARS = 300
"""Longer names of variables are cut."""

CODE = re.compile(r"[a-z][a-z0-9_]{0,39}")
"""The form of reasons and of kinds of events, so that they cannot carry the text of a backend."""


class ProvisioningStep(StrEnum):
    """The steps of a start."""

    QUEUED = "queued"
    RESOLVING = "resolving"
    PULLING = "pulling"
    STARTING = "starting"
    WAITING_FOR_REGISTER = "waiting_for_register"
    WAITING_TO_RETRY = "waiting_to_retry"
    FAILED = "failed"


STEPS_IN_PROGRESS = frozenset(
    {
        ProvisioningStep.RESOLVING,
        ProvisioningStep.PULLING,
        ProvisioningStep.STARTING,
        ProvisioningStep.WAITING_FOR_REGISTER,
    }
)
"""Steps of a start that does not wait for another one."""

EXPLAINED_STATUSES = frozenset({Status.PROVISIONING, Status.FAILED})
"""Statuses in which a workspace shows where its start stands."""

REQUESTED_START_REASONS = frozenset({Reason.RESTART_REQUESTED, Reason.RESUME_REQUESTED, Reason.WAKE})
"""Reasons of starts for which a caller waits; within an organisation they come first."""

NO_PROVISIONER = "no_provisioner"
"""The reason of a start that waits because no provisioner is connected."""

STARTED_ELSEWHERE = "started_elsewhere"
"""The reason of a start that waits for an agent which this plane does not start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvisioningRecord:
    """What the provisioner reported last of a start."""

    workspace_id: WorkspaceId
    generation: int
    step: ProvisioningStep
    reason: str = ""
    missing: tuple[str, ...] = ()
    next_attempt_at: datetime | None = None
    events: tuple[BackendEvent, ...] = ()
    since: datetime | None = None
    """When the step began; set when it is stored."""


def check_record(record: ProvisioningRecord) -> ProvisioningRecord:
    """Return the record within its limits; raises `InvalidValue` for a text where a code belongs."""
    codes = [event.kind for event in record.events]
    if not all(CODE.fullmatch(code) for code in ([record.reason] if record.reason else []) + codes):
        raise InvalidValue(field="reports")
    names = (name.replace("\0", "")[:MAX_NAME_CHARS] for name in record.missing[:MAX_MISSING_NAMES])
    return replace(record, missing=tuple(names), events=record.events[-MAX_EVENTS:])


def describe(
    workspace: Workspace, record: ProvisioningRecord | None, *, place: int, has_provisioner: bool
) -> ProvisioningView:
    """Return where the start of a workspace stands.

    `record` is `None`, or of another generation, while the provisioner has done nothing for this start. `place` is its
    place among the starts that wait, 1 for the next one.
    """
    known = record if record is not None and record.generation == workspace.generation else None
    events = tuple(replace(event, text=_describe_event(event)) for event in known.events) if known else ()
    if workspace.status is Status.FAILED:
        return _describe_failure(workspace, known, events)
    step, reason = _choose_step(workspace, known, has_provisioner=has_provisioner)
    missing = known.missing if known else ()
    position = place if step is ProvisioningStep.QUEUED else 0 if step in STEPS_IN_PROGRESS else None
    return ProvisioningView(
        step=step,
        reason=reason,
        text=_describe_step(step, reason, missing),
        position=position,
        since=known.since if known else workspace.status_since,
        deadline=workspace.provision_deadline,
        next_attempt_at=known.next_attempt_at if known else None,
        missing=missing,
        events=events,
    )


def _choose_step(
    workspace: Workspace, known: ProvisioningRecord | None, *, has_provisioner: bool
) -> tuple[ProvisioningStep, str]:
    if workspace.backend == NO_BACKEND:
        return ProvisioningStep.WAITING_FOR_REGISTER, STARTED_ELSEWHERE
    step = known.step if known else ProvisioningStep.QUEUED
    if not has_provisioner and step is not ProvisioningStep.WAITING_FOR_REGISTER:
        return ProvisioningStep.QUEUED, NO_PROVISIONER
    return step, known.reason if known else ""


def _describe_failure(
    workspace: Workspace, known: ProvisioningRecord | None, events: tuple[BackendEvent, ...]
) -> ProvisioningView:
    """Return the view of a failed workspace; the provisioner knows the cause only where it could not start it."""
    is_refused = workspace.status_reason is Reason.PROVISION_ERROR
    cause = known if is_refused and known and known.step is ProvisioningStep.FAILED else None
    return ProvisioningView(
        step=ProvisioningStep.FAILED,
        reason=cause.reason if cause else workspace.status_reason,
        text=workspace.status_detail,
        since=workspace.status_since,
        next_attempt_at=cause.next_attempt_at if cause else None,
        missing=cause.missing if cause else (),
        events=events,
    )


def _describe_step(step: ProvisioningStep, reason: str, missing: Sequence[str]) -> str:
    cause = REASON_TEXTS.get(reason, "")
    if missing:
        cause = f"Required variables are not set: {', '.join(missing)}."
    return f"{STEP_TEXTS[step]} {cause}".rstrip()


def _describe_event(event: BackendEvent) -> str:
    text = EVENT_TEXTS.get(event.kind, event.kind.replace("_", " ").capitalize())
    return f"{text}: {describe_exit(event.exit_code)}." if event.kind == "instance_exited" else f"{text}."


STEP_TEXTS = {
    ProvisioningStep.QUEUED: "The start waits for its turn.",
    ProvisioningStep.RESOLVING: "Its configuration and its secrets are read.",
    ProvisioningStep.PULLING: "The image of its runtime is downloaded.",
    ProvisioningStep.STARTING: "The backend starts its instance.",
    ProvisioningStep.WAITING_FOR_REGISTER: "The plane waits until the agent registers.",
    ProvisioningStep.WAITING_TO_RETRY: "The start is tried again.",
    ProvisioningStep.FAILED: "The start failed.",
}
"""The text of each step."""

REASON_TEXTS = {
    NO_PROVISIONER: "No provisioner is connected.",
    STARTED_ELSEWHERE: "This plane starts no agents.",
    "agent_ended": "The agent ended before it registered.",
    "backend_unavailable": "The backend does not answer; it is probed until it does.",
    "disk_full": "The disk of the backend is full; it starts once there is room.",
    "plane_unavailable": "A service of the plane does not answer.",
    "start_timed_out": "The backend did not start it in time.",
    "start_failed": "The backend refused to start it.",
    "image_missing": "The image of its runtime is not available.",
    "no_adapter": "The plane has nothing that runs agents of this runtime.",
    "global_secret_unreadable": "A global secret cannot be decrypted.",
    "workspace_secret_unreadable": "A secret of the workspace cannot be decrypted.",
}
"""The text of each reason for which a start waits."""

EVENT_TEXTS = {
    "start_begun": "The backend was asked for an instance",
    "image_pull_begun": "The download of the image began",
    "image_pulled": "The image was downloaded",
    "instance_started": "The instance was started",
    "instance_exited": "The instance ended",
    "start_refused": "The backend refused to start the instance",
    "start_timed_out": "The backend did not answer in time",
    "backend_unavailable": "The backend could not be reached",
    "disk_full": "The disk of the backend was full",
}
"""The text of each kind of event."""
