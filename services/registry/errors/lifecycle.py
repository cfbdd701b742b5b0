"""Errors of pausing, resuming and hibernating. Texts are those of docs/spec/rest.md, 6.3."""

from services.chassis import errors

DOMAIN = "molecule.registry.v1"


class NothingToPause(errors.NotFound):
    domain = DOMAIN
    reason = "NOTHING_TO_PAUSE"
    message = "workspace not found or already paused"


class NothingToResume(errors.NotFound):
    domain = DOMAIN
    reason = "NOTHING_TO_RESUME"
    message = "workspace not found or not paused"


class NothingToHibernate(errors.NotFound):
    domain = DOMAIN
    reason = "NOTHING_TO_HIBERNATE"
    message = "workspace not found or not in a hibernatable state (must be online or degraded)"


class TasksActive(errors.FailedPrecondition):
    domain = DOMAIN
    reason = "TASKS_ACTIVE"
    message = "workspace has active tasks; use ?force=true to terminate them"

    def __init__(self, active_tasks: int) -> None:
        super().__init__(details={"active_tasks": active_tasks})


class HibernationFailed(errors.FailedPrecondition):
    """The instance could not be stopped; the workspace has its former status again."""

    domain = DOMAIN
    reason = "HIBERNATION_FAILED"
    message = "failed to stop workspace"
