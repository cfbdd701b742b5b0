"""The refusals of what agents and people write down. Reasons are those of the contract, texts those of rest.md."""

from services.chassis import errors


class _Registry:
    domain = "molecule.registry.v1"


class InvalidNote(_Registry, errors.InvalidArgument):
    """What was written breaks a rule; the text says which."""

    reason = "INVALID_NOTE"


class TooManyNotes(_Registry, errors.FailedPrecondition):
    """A workspace has as many of a kind as it can have."""

    reason = "TOO_MANY_NOTES"

    def __init__(self, kind: str, limit: int) -> None:
        super().__init__(f"too many {kind}", details={"limit": limit})


class MemoryNotFound(_Registry, errors.NotFound):
    reason = "MEMORY_NOT_FOUND"
    message = "memory not found or not owned by this workspace"


class RootsOnly(_Registry, errors.PermissionDenied):
    reason = "ROOTS_ONLY"
    message = "only root workspaces can write GLOBAL memories"


class EntryNotFound(_Registry, errors.NotFound):
    reason = "ENTRY_NOT_FOUND"
    message = "key not found"


class VersionMismatch(_Registry, errors.FailedPrecondition):
    """The key is at another version than the caller expects; `current` is `None` where there is no such key."""

    reason = "VERSION_MISMATCH"

    def __init__(self, *, expected: int, current: int | None) -> None:
        text = "if_match_version mismatch"
        super().__init__(
            text if current is not None else f"{text}: key does not exist",
            details={"expected_version": expected, "current_version": current},
        )


class ApprovalNotFound(_Registry, errors.NotFound):
    reason = "APPROVAL_NOT_FOUND"
    message = "approval not found or already decided"


class OwnApproval(_Registry, errors.PermissionDenied):
    reason = "OWN_APPROVAL"
    message = "workspaces cannot decide their own approvals"


class InstructionNotFound(_Registry, errors.NotFound):
    reason = "INSTRUCTION_NOT_FOUND"
    message = "instruction not found"


class CheckpointNotFound(_Registry, errors.NotFound):
    """The text says of what there is no step."""

    reason = "CHECKPOINT_NOT_FOUND"


class PlatformAdminRequired(_Registry, errors.PermissionDenied):
    reason = "PLATFORM_ADMIN_REQUIRED"
    message = "platform admin required"


class NoteTooLarge(_Registry, errors.InvalidArgument):
    reason = "NOTE_TOO_LARGE"
    message = "body too large or unreadable"
