"""Exports a workspace with its descendants as a bundle, and creates new workspaces from a bundle."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from services.chassis import strict_json
from services.chassis.errors import ServiceError
from services.chassis.identity import Identity
from services.registry import access
from services.registry.directory.creation import MAX_WORKSPACES_PER_BATCH, WorkspaceCreator
from services.registry.directory.workspace_plan import WorkspacePlan
from services.registry.errors.orgs import BundleNotFound, InvalidBundle
from services.registry.organisations import bundle_file
from services.registry.store.transaction import Store
from services.registry.templates import config_file
from services.registry.workspace import starter_files
from services.registry.workspace.model import Status, Workspace, WorkspaceId
from services.registry.workspace.starter_files import CONFIG_FILE, Files


@dataclass(frozen=True, slots=True)
class BundleMember:
    """A workspace that was created from a bundle, with its children."""

    workspace: Workspace
    children: tuple["BundleMember", ...]


class Bundles:
    """Exports and imports bundles."""

    def __init__(self, store: Store, *, creator: WorkspaceCreator) -> None:
        self._store = store
        self._creator = creator

    async def export(self, caller: Identity, workspace_id: WorkspaceId) -> bytes:
        """Return a workspace and all its descendants as JSON; raises `BundleNotFound`."""
        async with self._store.begin() as tx:
            root = await tx.find(workspace_id)
            access.check_org(caller, root)
            if root is None or root.status is Status.REMOVED:
                raise BundleNotFound
            tree = await tx.lists.list_by_ids(await tx.tree.list_subtree_ids(root.id))
            found = [workspace for workspace in tree if workspace.status is not Status.REMOVED]
            cards = await tx.cards([workspace.id for workspace in found])
            files = {
                digest: await tx.starter_files.get(digest)
                for digest in {workspace.starter_files_digest for workspace in found}
            }
        bundle = _render_tree(root, found, files, cards)
        return strict_json.dump(bundle)

    async def import_bundle(self, caller: Identity, request_id: str, content: bytes) -> BundleMember:
        """Create the workspaces of a bundle: all, or none. Raises `InvalidBundle`, which names the wrong one."""
        parsed = bundle_file.parse_bundle(content)
        if len(parsed) > MAX_WORKSPACES_PER_BATCH:
            raise InvalidBundle(f"more than {MAX_WORKSPACES_PER_BATCH} workspaces")
        plans = [await self._validate(plan) for plan in parsed]
        created = await self._creator.create_trees(caller, request_id, plans)
        return _build_tree(created, plans, 0)

    async def _validate(self, plan: WorkspacePlan) -> WorkspacePlan:
        try:
            files = starter_files.validate_files(plan.starter.files)
            if files and CONFIG_FILE not in files:
                files = starter_files.validate_files({**files, CONFIG_FILE: config_file.generate_config(plan.draft)})
            return await self._creator.validate(replace(plan, starter=replace(plan.starter, files=files)))
        except ServiceError as refusal:
            if refusal.domain != InvalidBundle.domain:
                raise
            raise InvalidBundle(f"{plan.draft.name}: {refusal.message}") from None


def _render_tree(
    workspace: Workspace,
    found: list[Workspace],
    files: Mapping[str, Files],
    cards: Mapping[WorkspaceId, bytes],
) -> dict[str, Any]:
    """Render the workspace and, recursively, its children among `found`. `files` are those of each digest."""
    children = sorted((one for one in found if one.parent_id == workspace.id), key=lambda one: (one.created_at, one.id))
    card = cards.get(workspace.id)
    return bundle_file.render_bundle(
        workspace,
        files[workspace.starter_files_digest],
        strict_json.parse(card) if card else None,
        [_render_tree(child, found, files, cards) for child in children],
    )


def _build_tree(created: Sequence[Workspace], plans: Sequence[WorkspacePlan], index: int) -> BundleMember:
    children = [number for number, plan in enumerate(plans) if plan.parent == index]
    return BundleMember(created[index], tuple(_build_tree(created, plans, child) for child in children))
