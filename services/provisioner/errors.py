"""The errors of the provisioner. Each message is a fixed text of the public contract, never a backend's own text."""

from collections.abc import Sequence

from services.chassis.errors import FailedPrecondition, NotFound, PermissionDenied, Unavailable

DOMAIN = "molecule.provisioner.v1"
"""The error domain of every reason in this module."""


class NoBackend(FailedPrecondition):
    """This plane starts no instances."""

    domain = DOMAIN
    reason = "NO_BACKEND"
    message = "provisioning backend not available"


class NoAdapter(FailedPrecondition):
    """The backend has no adapter for this runtime."""

    domain = DOMAIN
    reason = "NO_ADAPTER"
    message = "no image for runtime"


class ImageMissing(FailedPrecondition):
    """The image of the instance is not on the engine, and cannot be pulled."""

    domain = DOMAIN
    reason = "IMAGE_MISSING"
    message = "image not available"


class StartFailed(FailedPrecondition):
    """The backend refused to start the instance. A retry would fail in the same way."""

    domain = DOMAIN
    reason = "START_FAILED"
    message = "provisioning failed"


class StopFailed(FailedPrecondition):
    """The instance did not end after the backend asked it to."""

    domain = DOMAIN
    reason = "STOP_FAILED"
    message = "the instance did not end"


class BackendUnavailable(Unavailable):
    """The backend cannot be reached now. This says nothing about its instances."""

    domain = DOMAIN
    reason = "BACKEND_UNAVAILABLE"
    message = "the backend cannot be reached"


class MissingEnvironment(FailedPrecondition):
    """Variables that the runtime requires are not set."""

    domain = DOMAIN
    reason = "MISSING_ENVIRONMENT"
    message = "missing required environment"

    def __init__(self, missing: Sequence[str]) -> None:
        super().__init__(details={"missing": list(missing)})
        self.missing = tuple(missing)


class GlobalSecretUnreadable(FailedPrecondition):
    """A global secret that the instance needs cannot be decrypted; the log of auth names it."""

    domain = DOMAIN
    reason = "GLOBAL_SECRET_UNREADABLE"
    message = "failed to decrypt global secret"


class WorkspaceSecretUnreadable(FailedPrecondition):
    """A workspace secret that the instance needs cannot be decrypted; the log of auth names it."""

    domain = DOMAIN
    reason = "WORKSPACE_SECRET_UNREADABLE"
    message = "failed to decrypt workspace secret"


class WorkspaceNotFound(NotFound):
    """The registry does not know the workspace."""

    domain = DOMAIN
    reason = "WORKSPACE_NOT_FOUND"
    message = "workspace not found"


class OrgAccessDenied(PermissionDenied):
    """The workspace is outside the organisation of the caller's token."""

    domain = DOMAIN
    reason = "ORG_ACCESS_DENIED"
    message = "org access denied"


class LogsUnavailable(FailedPrecondition):
    """The backend keeps no output, or the workspace never had an instance."""

    domain = DOMAIN
    reason = "LOGS_UNAVAILABLE"
    message = "logs unavailable for this workspace"

    def __init__(self, backend: str) -> None:
        super().__init__(details={"backend": backend})


class LogsUnreadable(FailedPrecondition):
    """The backend cannot read the output now; the log of the provisioner has the cause."""

    domain = DOMAIN
    reason = "LOGS_UNREADABLE"
    message = "backend unavailable"
