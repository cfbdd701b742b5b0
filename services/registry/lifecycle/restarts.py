"""What a restart puts on: which template the fresh instance starts with, if not with what the workspace has."""

from dataclasses import dataclass, replace

from services.registry.templates.folders import Templates, directory_of
from services.registry.workspace.model import Workspace
from services.registry.workspace.starter_files import StarterFiles
from services.registry.workspace.validation import WorkspaceDraft


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateChoice:
    """What somebody who restarts a workspace says of templates."""

    template: str = ""
    apply_template: bool = False
    rebuild_config: bool = False


class TemplateChooser:
    """Chooses the template of a restart (section 6.3 of the REST contract, "Template choice")."""

    def __init__(self, templates: Templates, org_templates: Templates) -> None:
        self._templates = templates
        self._org_templates = org_templates

    async def chosen(self, workspace: Workspace, wish: TemplateChoice) -> StarterFiles | None:
        """What the template gives, or nothing where the workspace keeps what it has.

        Raises `InvalidTemplate` for a named one that is none, and for any that cannot be used.
        """
        found = (self._templates, wish.template) if wish.template else await self._first(workspace, wish)
        if found is None:
            return None
        templates, template_id = found
        _, kit = await templates.kit(WorkspaceDraft(name="", template=template_id))
        return kit

    async def _first(self, workspace: Workspace, wish: TemplateChoice) -> tuple[Templates, str] | None:
        for templates, template_id in self._candidates(workspace, wish):
            if await templates.has(template_id):
                return templates, template_id
        return None

    def _candidates(self, workspace: Workspace, wish: TemplateChoice) -> list[tuple[Templates, str]]:
        own = directory_of(workspace.name)
        candidates = []
        if wish.apply_template:
            candidates.append((self._templates, own))
        if wish.rebuild_config:
            candidates.append((self._org_templates, own))
        if wish.apply_template:
            candidates.append((self._templates, f"{workspace.runtime}-default"))
        return candidates


def apply_starter_files(workspace: Workspace, kit: StarterFiles) -> Workspace:
    """The workspace with what a template gives it. Runtime, model and tier stay: they are its own by now."""
    return replace(workspace, template=kit.template, starter_files_digest=kit.digest, brief=kit.brief)
