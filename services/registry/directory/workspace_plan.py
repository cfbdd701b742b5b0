"""The plan of one workspace that is to be created, alone or in a batch."""

from dataclasses import dataclass, field

from services.registry.workspace.starter_files import StarterFiles
from services.registry.workspace.validation import WorkspaceDraft


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkspacePlan:
    """A workspace to be created. `starter` holds the files and the briefing that its first instance gets.

    `parent` is the index of its parent in the same batch. A parent comes before its children.
    """

    draft: WorkspaceDraft
    starter: StarterFiles = field(default_factory=StarterFiles)
    parent: int | None = None
