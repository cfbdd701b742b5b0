"""Errors about workspaces. Reasons are those of the contract, texts those of docs/spec/rest.md."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Self

from services.chassis import errors


class _Registry:
    domain = "molecule.registry.v1"


class WorkspaceNotFound(_Registry, errors.NotFound):
    reason = "WORKSPACE_NOT_FOUND"
    message = "workspace not found"


class WorkspaceRemoved(_Registry, errors.FailedPrecondition):
    reason = "WORKSPACE_REMOVED"
    message = "workspace removed"


class WrongStatus(_Registry, errors.FailedPrecondition):
    reason = "WRONG_STATUS"

    def __init__(self, status: str) -> None:
        super().__init__(f"workspace is {status}")


class InvalidWorkspace(_Registry, errors.InvalidArgument):
    reason = "INVALID_WORKSPACE"
    message = "invalid workspace fields"


class InvalidDeliveryMode(_Registry, errors.InvalidArgument):
    reason = "INVALID_DELIVERY_MODE"
    message = "invalid delivery_mode"


class InvalidBody(_Registry, errors.InvalidArgument):
    reason = "INVALID_BODY"
    message = "invalid request body"

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(details={"reason": reason, "detail": detail})


class CardTooLarge(_Registry, errors.InvalidArgument):
    reason = "CARD_TOO_LARGE"
    message = "agent_card too large"

    def __init__(self, limit: int) -> None:
        super().__init__(details={"max_bytes": limit})


class ParentNotFound(_Registry, errors.NotFound):
    reason = "PARENT_NOT_FOUND"
    message = "parent workspace not found"


class ParentCycle(_Registry, errors.FailedPrecondition):
    reason = "PARENT_CYCLE"
    message = "parent cycle"


class TooManyWorkspaces(_Registry, errors.FailedPrecondition):
    reason = "TOO_MANY_WORKSPACES"

    @classmethod
    def in_organisation(cls, limit: int) -> Self:
        """Return the error for a full organisation."""
        return cls(f"maximum {limit} workspaces per organisation: remove some")

    @classmethod
    def in_plane(cls, limit: int) -> Self:
        """Return the error for a full plane."""
        return cls(f"maximum {limit} workspaces: remove some")


class TooManyRunning(_Registry, errors.FailedPrecondition):
    reason = "TOO_MANY_RUNNING"

    @classmethod
    def in_organisation(cls, limit: int) -> Self:
        """Return the error for an organisation with as many instances as it may have."""
        return cls(f"maximum {limit} running workspaces per organisation: pause or hibernate some")

    @classmethod
    def in_plane(cls, limit: int) -> Self:
        """Return the error for a plane with as many instances as it may have."""
        return cls(f"maximum {limit} running workspaces: pause or hibernate some")


class FieldRequiresAdmin(_Registry, errors.PermissionDenied):
    reason = "FIELD_REQUIRES_ADMIN"
    message = "field requires admin"

    def __init__(self, field: str) -> None:
        super().__init__(details={"field": field})


class InvalidValue(_Registry, errors.InvalidArgument):
    """A field has an invalid value; `field` names it where the text does not."""

    reason = "INVALID_VALUE"

    def __init__(self, message: str | None = None, *, field: str = "") -> None:
        super().__init__(message or f"invalid value for field: {field}", details={"field": field} if field else None)


class OrgAccessDenied(_Registry, errors.PermissionDenied):
    reason = "ORG_ACCESS_DENIED"
    message = "org access denied"


class ModelNotRegistered(_Registry, errors.InvalidArgument):
    reason = "MODEL_NOT_REGISTERED"
    message = "model_not_registered"

    def __init__(self, *, model: str | None, runtime: str, valid_models: Sequence[str] = ()) -> None:
        super().__init__(details={"model": model, "runtime": runtime, "valid_models": list(valid_models)})


class RuntimeNotStartable(_Registry, errors.InvalidArgument):
    reason = "RUNTIME_NOT_STARTABLE"

    def __init__(self, runtime: str, *, startable: Sequence[str], has_unused_image: bool = False) -> None:
        cause = ", whose agent is in an image, because it runs no containers" if has_unused_image else ""
        super().__init__(
            f"this plane cannot start the runtime {runtime}{cause}; it can start: {', '.join(startable) or 'none'}."
            " Choose one of these, or the runtime external and start the agent yourself,"
            " or have the operator install a template whose config.yaml names an adapter or a command for this runtime",
            details={"runtime": runtime, "startable": list(startable)},
        )


class RuntimeConflict(_Registry, errors.FailedPrecondition):
    reason = "RUNTIME_CONFLICT"
    message = "runtime_conflict"

    def __init__(self, *, runtime: str, model: str | None) -> None:
        super().__init__(details={"runtime": runtime, "model": model})


class ConfirmationRequired(_Registry, errors.FailedPrecondition):
    reason = "CONFIRMATION_REQUIRED"
    message = "This workspace has sub-workspaces. Delete with ?confirm=true to cascade delete."

    def __init__(self, children: list[dict[str, str]]) -> None:
        super().__init__(
            details={
                "status": "confirmation_required",
                "message": self.message,
                "children_count": len(children),
                "children": children,
            }
        )


class InstancesStillRunning(_Registry, errors.InternalError):
    reason = "STOP_FAILED"

    def __init__(self, *, removed: int, failures: dict[str, str]) -> None:
        texts = "; ".join(f"stop {workspace_id}: {text}" for workspace_id, text in failures.items())
        super().__init__(
            f"workspace marked removed, but {len(failures)} stop call(s) failed — please retry: {texts}",
            details={"removed_count": removed, "stop_failures": len(failures)},
        )


class NotSupported(_Registry, errors.FailedPrecondition):
    reason = "NOT_SUPPORTED"


class ParentPaused(_Registry, errors.FailedPrecondition):
    reason = "PARENT_PAUSED"

    def __init__(self, name: str) -> None:
        super().__init__(f'parent workspace "{name}" is paused — resume it first')


class ProvisionerUnavailable(_Registry, errors.FailedPrecondition):
    """Not `Unavailable`, because a retry within the same call does not help."""

    reason = "PROVISIONER_UNAVAILABLE"
    message = "provisioner not available"


class DiscoveryDenied(_Registry, errors.PermissionDenied):
    reason = "DISCOVERY_DENIED"
    message = "not authorized to discover this workspace"


class CallerRequired(_Registry, errors.InvalidArgument):
    reason = "CALLER_REQUIRED"
    message = "X-Workspace-ID header is required"


class WorkspaceUnavailable(_Registry, errors.FailedPrecondition):
    reason = "WORKSPACE_UNAVAILABLE"
    message = "workspace not available"

    def __init__(self, status: str) -> None:
        super().__init__(details={"status": status})


class AddressUnsafe(_Registry, errors.FailedPrecondition):
    reason = "ADDRESS_UNSAFE"
    message = "workspace URL failed safety check"


class CardNotAvailable(_Registry, errors.NotFound):
    reason = "CARD_NOT_AVAILABLE"
    message = "agent card not available"


class StaleToken(_Registry, errors.Unauthenticated):
    """The token belongs to an instance that was replaced."""

    reason = "UNAUTHENTICATED"
    message = "invalid workspace auth token"


class OtherWorkspace(_Registry, errors.Unauthenticated):
    """The token belongs to another workspace than the one that the request is about."""

    reason = "UNAUTHENTICATED"
    message = "invalid workspace auth token"


class FeedOverrun(errors.Unavailable):
    """The reader is too slow; it can resume from its last revision."""

    def __init__(self) -> None:
        super().__init__(retry_in=timedelta(seconds=1))
