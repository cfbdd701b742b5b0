"""The texts that explain a status to people (`status_detail`)."""

from collections.abc import Sequence
from signal import Signals

from services.registry.workspace.model import Reason

MAX_CAUSE_CHARS = 300
"""Longer causes are cut in a status detail."""

PROVISION_TIMEOUT_TEXT = "provisioning timed out"
"""The public error text of an instance that did not start in time."""

PROVISION_CANCELLED_TEXT = "provisioning cancelled"
"""The public error text of an instance whose start a caller cancelled."""

STATUS_DETAILS = {
    Reason.CREATED: "Created; its instance is being started.",
    Reason.EXTERNAL_CREATED: "Waiting for its agent to register.",
    Reason.REGISTERED: "The agent registered.",
    Reason.HEARTBEAT: "The agent sends heartbeats.",
    Reason.WEDGED: "The agent says that it is stuck.",
    Reason.ERROR_RATE: "Half or more of the agent's work fails.",
    Reason.REGISTER_FAILED: "The agent's last attempt to register was refused.",
    Reason.RECOVERED: "The agent works again.",
    Reason.LIVENESS_TIMEOUT: "The agent has not been heard for too long.",
    Reason.AGENT_STALE: "The agent has not been heard for too long; it can register again at any time.",
    Reason.CONTAINER_NOT_RUNNING: "The instance is not running any more.",
    Reason.UPSTREAM_DEAD: "A message found the agent gone.",
    Reason.PROVISION_TIMEOUT: "The agent did not come up in time.",
    Reason.BOOTSTRAP_FAILED: "The agent could not boot.",
    Reason.PROVISION_ERROR: "The instance could not be started.",
    Reason.PROVISION_CANCELLED: "Its start was cancelled; a restart starts it again.",
    Reason.RESTART_REQUESTED: "A restart was asked for.",
    Reason.AUTO_RESTART: "The plane starts a fresh instance.",
    Reason.WAKE: "Waking up.",
    Reason.PAUSE_REQUESTED: "Paused; it runs again when it is resumed.",
    Reason.RESUME_REQUESTED: "Resumed.",
    Reason.HIBERNATE_REQUESTED: "Hibernates; the next message wakes it.",
    Reason.IDLE: "Had nothing to do; the next message wakes it.",
    Reason.HIBERNATE_FAILED: "The instance could not be stopped for hibernation.",
    Reason.DELETED: "Deleted.",
    Reason.COLLAPSED: "Removed when the team above it was collapsed.",
}
"""The text of each status reason."""

DECLARED_EXTERNAL_DETAIL = "Declared by its creator, not heard from yet."
"""The text of an external workspace that was created with its address."""


def describe_exit(code: int | None) -> str:
    """Return how an instance ended: by an exit code, by a signal (a negative code), or unknown."""
    if code is None:
        return "how it ended is not known"
    if code >= 0:
        return f"exit code {code}"
    known = {signal.value for signal in Signals}
    return f"killed by signal {-code}" + (f" ({Signals(-code).name})" if -code in known else "")


def describe_restarts(reason: Reason, restart_count: int, exit_code: int | None) -> str:
    """Return the text of a status together with how often the instance ended by itself."""
    if restart_count == 0:
        return STATUS_DETAILS[reason]
    times = "once" if restart_count == 1 else f"{restart_count} times"
    return f"{STATUS_DETAILS[reason]} The agent ended {times}, at last: {describe_exit(exit_code)}."


def describe_failure(reason: Reason, error: str, missing: Sequence[str] = ()) -> str:
    """Return the text of a failed start together with its cause."""
    cause = f"{error}: {', '.join(missing)}" if missing else error
    return f"{STATUS_DETAILS[reason]} Cause: {_shorten(cause)}" if cause else STATUS_DETAILS[reason]


def _shorten(text: str) -> str:
    return text if len(text) <= MAX_CAUSE_CHARS else text[: MAX_CAUSE_CHARS - 1] + "…"
