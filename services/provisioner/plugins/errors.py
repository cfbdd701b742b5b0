"""The errors of plugins. Each message is a fixed text of the public contract (docs/spec/rest.md, 6.16)."""

from services.chassis.errors import FailedPrecondition, InvalidArgument, NotFound, ResourceExhausted
from services.provisioner.errors import DOMAIN


class InvalidPluginSource(InvalidArgument):
    """The source is malformed, of an unknown scheme, or leads outside its directory."""

    domain = DOMAIN
    reason = "INVALID_PLUGIN_SOURCE"
    message = "invalid plugin source"


class PluginUnpinned(FailedPrecondition):
    """The source does not say which revision to fetch."""

    domain = DOMAIN
    reason = "PLUGIN_UNPINNED"
    message = "plugin source is not pinned: end it with #<commit>, all 40 hexadecimal digits"


class PluginDigestMismatch(FailedPrecondition):
    """The plugin has another digest than the caller requested."""

    domain = DOMAIN
    reason = "PLUGIN_DIGEST_MISMATCH"
    message = "plugin checksum mismatch"

    def __init__(self, found: str) -> None:
        super().__init__(details={"sha256": found})


class PluginRefused(FailedPrecondition):
    """The plugin has no usable manifest, or contains what no plugin may."""

    domain = DOMAIN
    reason = "PLUGIN_REFUSED"
    message = "invalid plugin"


class PluginTooLarge(ResourceExhausted):
    """The plugin has too many bytes or files."""

    domain = DOMAIN
    reason = "PLUGIN_TOO_LARGE"
    message = "plugin too large"

    def __init__(self, *, max_bytes: int | None = None, max_files: int | None = None) -> None:
        limits = {"max_bytes": max_bytes, "max_files": max_files}
        super().__init__(details={name: limit for name, limit in limits.items() if limit is not None})


class PluginSourceMissing(NotFound):
    """The source has no such plugin."""

    domain = DOMAIN
    reason = "PLUGIN_SOURCE_NOT_FOUND"

    def __init__(self, scheme: str) -> None:
        super().__init__(_describe_failed_fetch(scheme))


class PluginFetchTimeout(FailedPrecondition):
    """The source did not answer in time."""

    domain = DOMAIN
    reason = "PLUGIN_FETCH_TIMEOUT"

    def __init__(self, scheme: str) -> None:
        super().__init__(_describe_failed_fetch(scheme))


class PluginFetchFailed(FailedPrecondition):
    """The source cannot be read; the log has the cause."""

    domain = DOMAIN
    reason = "PLUGIN_FETCH_FAILED"

    def __init__(self, scheme: str) -> None:
        super().__init__(_describe_failed_fetch(scheme))


class PluginMissing(NotFound):
    """The workspace has no plugin of this name."""

    domain = DOMAIN
    reason = "PLUGIN_NOT_FOUND"
    message = "plugin not found"


class InstanceNotRunning(FailedPrecondition):
    """The instance of the workspace does not run."""

    domain = DOMAIN
    reason = "INSTANCE_NOT_RUNNING"
    message = "workspace container not running"


class PluginAccessFailed(FailedPrecondition):
    """The backend cannot write or delete the plugin; the log has the cause."""

    domain = DOMAIN
    reason = "PLUGIN_ACCESS_FAILED"
    message = "failed to write plugin"


def _describe_failed_fetch(scheme: str) -> str:
    return f"failed to fetch plugin from {scheme}"
