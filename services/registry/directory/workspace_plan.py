"""The plan of one workspace that is to be created, alone or in a batch."""

from dataclasses import dataclass, field

from services.registry.workspace.starter_files import Kit
from services.registry.workspace.validation import Draft


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkspacePlan:
    """A workspace to be created. `starter` holds the files and the briefing that its first instance gets.

    `parent` is the index of its parent in the same batch. A parent comes before its children.
    """

    draft: Draft
    starter: Kit = field(default_factory=Kit)
    parent: int | None = None
