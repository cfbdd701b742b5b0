"""The errors of the provisioner. Each message is a fixed text of the public contract, never a backend's own text."""

from collections.abc import Sequence

from services.chassis.errors import (
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unavailable,
)

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


class DiskFull(BackendUnavailable):
    """The backend has no room for the files of an instance. It answers, and the start succeeds once there is room."""

    reason = "DISK_FULL"
    message = "the disk of the backend is full"


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


class UnknownRuntime(InvalidArgument):
    """The catalogue has no such runtime, or nothing to run it."""

    domain = DOMAIN
    reason = "UNKNOWN_RUNTIME"

    def __init__(self, runtime: str, known: Sequence[str]) -> None:
        super().__init__(f"unknown runtime: {runtime}", details={"known_runtimes": sorted(known)})


class ImagesUnused(FailedPrecondition):
    """The backend uses no images."""

    domain = DOMAIN
    reason = "IMAGES_UNUSED"
    message = "images are not used by this backend"


class InstancesUnlisted(FailedPrecondition):
    """The backend could not list its instances after the images were pulled."""

    domain = DOMAIN
    reason = "INSTANCES_UNLISTED"
    message = "container list failed"

    def __init__(self, pulled: Sequence[str], failed: Sequence[str]) -> None:
        partial: dict[str, list[str]] = {"pulled": list(pulled), "failed": list(failed), "recreated": []}
        super().__init__(details={"partial_result": partial})


class InvalidRoot(InvalidArgument):
    """The root of a path is none of those that may be read."""

    domain = DOMAIN
    reason = "INVALID_ROOT"
    message = "root must be one of: /configs, /workspace, /home, /plugins"


class InvalidPath(InvalidArgument):
    """The path cannot be that of a file of the workspace."""

    domain = DOMAIN
    reason = "INVALID_PATH"
    message = "invalid path"


class InvalidDepth(InvalidArgument):
    """The depth of a list is out of range."""

    domain = DOMAIN
    reason = "INVALID_DEPTH"
    message = "depth must be 1-5"


class TooManyFiles(InvalidArgument):
    """More files than one call writes."""

    domain = DOMAIN
    reason = "TOO_MANY_FILES"

    def __init__(self, count: int, limit: int) -> None:
        super().__init__(f"too many files ({count}), max {limit}")


class FileTooLarge(ResourceExhausted):
    """A file, or the files of one call, are too large."""

    domain = DOMAIN
    reason = "FILE_TOO_LARGE"
    message = "file too large"

    def __init__(self, max_bytes: int) -> None:
        super().__init__(details={"max_bytes": max_bytes})


class FileMissing(NotFound):
    """There is no such file."""

    domain = DOMAIN
    reason = "FILE_NOT_FOUND"
    message = "file not found"


class FileNotText(FailedPrecondition):
    """The file is not UTF-8 text."""

    domain = DOMAIN
    reason = "FILE_NOT_TEXT"
    message = "file is not UTF-8 text"


class NoFiles(FailedPrecondition):
    """The workspace never had an instance, so it has no files yet."""

    domain = DOMAIN
    reason = "NO_FILES"
    message = "workspace has no files yet: it was never started"


class FileAccessFailed(FailedPrecondition):
    """The backend cannot read, write or delete the file; the log of the provisioner has the cause."""

    domain = DOMAIN
    reason = "FILE_ACCESS_FAILED"
    message = "failed to read file"
