"""What can go wrong with an instance. Each message is a fixed text of the public contract, never a backend's own."""

from collections.abc import Sequence

from services.chassis.errors import FailedPrecondition, NotFound, PermissionDenied, Unavailable

DOMAIN = "molecule.provisioner.v1"
"""The domain of these reasons."""


class NoBackend(FailedPrecondition):
    """This plane starts no instances."""

    domain = DOMAIN
    reason = "NO_BACKEND"
    message = "provisioning backend not available"


class NoAdapter(FailedPrecondition):
    """The backend has nothing that could run this runtime."""

    domain = DOMAIN
    reason = "NO_ADAPTER"
    message = "no image for runtime"


class StartFailed(FailedPrecondition):
    """The backend refused to start the instance. Starting it again would change nothing."""

    domain = DOMAIN
    reason = "START_FAILED"
    message = "provisioning failed"


class StopFailed(FailedPrecondition):
    """The instance did not end when it was told to."""

    domain = DOMAIN
    reason = "STOP_FAILED"
    message = "the instance did not end"


class BackendUnavailable(Unavailable):
    """The backend cannot be asked now, which says nothing about its instances."""

    domain = DOMAIN
    reason = "BACKEND_UNAVAILABLE"
    message = "the backend cannot be reached"


class MissingEnvironment(FailedPrecondition):
    """Variables without which the runtime cannot work are not set."""

    domain = DOMAIN
    reason = "MISSING_ENVIRONMENT"
    message = "missing required environment"

    def __init__(self, missing: Sequence[str]) -> None:
        super().__init__(details={"missing": list(missing)})
        self.missing = tuple(missing)


class GlobalSecretUnreadable(FailedPrecondition):
    """A global secret that the instance needs cannot be opened; which one is in the log of auth."""

    domain = DOMAIN
    reason = "GLOBAL_SECRET_UNREADABLE"
    message = "failed to decrypt global secret"


class WorkspaceSecretUnreadable(FailedPrecondition):
    """A secret of the workspace that its instance needs cannot be opened; which one is in the log of auth."""

    domain = DOMAIN
    reason = "WORKSPACE_SECRET_UNREADABLE"
    message = "failed to decrypt workspace secret"


class WorkspaceNotFound(NotFound):
    """The registry does not know it."""

    domain = DOMAIN
    reason = "WORKSPACE_NOT_FOUND"
    message = "workspace not found"


class OrgAccessDenied(PermissionDenied):
    """An organisation token ends at its organisation."""

    domain = DOMAIN
    reason = "ORG_ACCESS_DENIED"
    message = "org access denied"


class LogsUnavailable(FailedPrecondition):
    """No output is kept of its instance, or it has none."""

    domain = DOMAIN
    reason = "LOGS_UNAVAILABLE"
    message = "logs unavailable for this workspace"

    def __init__(self, backend: str) -> None:
        super().__init__(details={"backend": backend})


class LogsUnreadable(FailedPrecondition):
    """The backend cannot read its output now; what ails it is in the log."""

    domain = DOMAIN
    reason = "LOGS_UNREADABLE"
    message = "backend unavailable"
