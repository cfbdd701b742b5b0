"""The errors about notes. Reasons are those of the protobuf contract, texts those of docs/spec/rest.md."""

from services.chassis import errors


class _NoteError:
    domain = "molecule.registry.v1"


class InvalidNote(_NoteError, errors.InvalidArgument):
    """A note breaks a rule; the text names the rule."""

    reason = "INVALID_NOTE"


class TooManyNotes(_NoteError, errors.FailedPrecondition):
    """The workspace has reached the limit for this kind of note."""

    reason = "TOO_MANY_NOTES"

    def __init__(self, kind: str, limit: int) -> None:
        super().__init__(f"too many {kind}", details={"limit": limit})


class NotesTooLarge(_NoteError, errors.FailedPrecondition):
    """The notes of this kind have as many bytes as the workspace may store."""

    reason = "NOTES_TOO_LARGE"

    def __init__(self, kind: str, limit: int) -> None:
        super().__init__(f"{kind} too large", details={"max_bytes": limit})


class MemoryNotFound(_NoteError, errors.NotFound):
    reason = "MEMORY_NOT_FOUND"
    message = "memory not found or not owned by this workspace"


class RootsOnly(_NoteError, errors.PermissionDenied):
    reason = "ROOTS_ONLY"
    message = "only root workspaces can write GLOBAL memories"


class EntryNotFound(_NoteError, errors.NotFound):
    reason = "ENTRY_NOT_FOUND"
    message = "key not found"


class VersionMismatch(_NoteError, errors.FailedPrecondition):
    """The key is at another version than the caller expects; `current` is `None` if the key does not exist."""

    reason = "VERSION_MISMATCH"

    def __init__(self, *, expected: int, current: int | None) -> None:
        text = "if_match_version mismatch"
        super().__init__(
            text if current is not None else f"{text}: key does not exist",
            details={"expected_version": expected, "current_version": current},
        )


class ApprovalNotFound(_NoteError, errors.NotFound):
    reason = "APPROVAL_NOT_FOUND"
    message = "approval not found or already decided"


class OwnApproval(_NoteError, errors.PermissionDenied):
    reason = "OWN_APPROVAL"
    message = "workspaces cannot decide their own approvals"


class InstructionNotFound(_NoteError, errors.NotFound):
    reason = "INSTRUCTION_NOT_FOUND"
    message = "instruction not found"


class CheckpointNotFound(_NoteError, errors.NotFound):
    """The text says whether a workspace or a workflow has no checkpoint."""

    reason = "CHECKPOINT_NOT_FOUND"


class PlatformAdminRequired(_NoteError, errors.PermissionDenied):
    reason = "PLATFORM_ADMIN_REQUIRED"
    message = "platform admin required"


class NoteTooLarge(_NoteError, errors.InvalidArgument):
    reason = "NOTE_TOO_LARGE"
    message = "body too large or unreadable"
