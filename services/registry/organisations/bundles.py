"""Taking trees of workspaces along: out as bundles, and in again as new workspaces."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from services.chassis.errors import ServiceError
from services.chassis.identity import Identity
from services.registry import access
from services.registry.directory.creation import MAX_WORKSPACES_PER_BATCH, WorkspaceCreator, WorkspacePlan
from services.registry.errors.orgs import BundleNotFound, InvalidBundle
from services.registry.organisations import bundle_file
from services.registry.organisations.bundle_file import BundledWorkspace
from services.registry.store.transaction import Store
from services.registry.templates import config_file
from services.registry.workspace import starter_files
from services.registry.workspace.model import Status, Workspace, WorkspaceId
from services.registry.workspace.starter_files import CONFIG, Files


@dataclass(frozen=True, slots=True)
class BundleMember:
    """A workspace made of a bundle, and those below it."""

    workspace: Workspace
    children: tuple["BundleMember", ...]


class Bundles:
    """Exports and imports."""

    def __init__(self, store: Store, *, creator: WorkspaceCreator) -> None:
        self._store = store
        self._creator = creator

    async def export(self, caller: Identity, workspace_id: WorkspaceId) -> bytes:
        """A workspace and all below it, as JSON; raises `BundleNotFound`."""
        async with self._store.begin() as tx:
            root = await tx.find(workspace_id)
            access.check_org(caller, root)
            if root is None or root.status is Status.REMOVED:
                raise BundleNotFound
            found = [one for one in await tx.lists.several(await tx.tree.ids(root.id)) if _is_not_removed(one)]
            cards = await tx.cards([one.id for one in found])
            files = {digest: await tx.kits.files(digest) for digest in {one.kit for one in found}}
        made = _render_tree(root, found, files, cards)
        return json.dumps(made, ensure_ascii=False, separators=(",", ":")).encode()

    async def import_bundle(self, caller: Identity, request_id: str, content: bytes) -> BundleMember:
        """New workspaces of a bundle: all, or none. Raises `InvalidBundle` that says which cannot be one."""
        packed = bundle_file.parse_bundle(content)
        if len(packed) > MAX_WORKSPACES_PER_BATCH:
            raise InvalidBundle(f"more than {MAX_WORKSPACES_PER_BATCH} workspaces")
        seeds = [await self._seed(one) for one in packed]
        made = await self._creator.found(caller, request_id, seeds)
        return _build_tree(made, packed, 0)

    async def _seed(self, one: BundledWorkspace) -> WorkspacePlan:
        try:
            files = starter_files.checked(one.kit.files)
            if files and CONFIG not in files:
                files = starter_files.checked({**files, CONFIG: config_file.generate_config(one.draft)})
            seed = WorkspacePlan(draft=one.draft, kit=replace(one.kit, files=files), parent=one.parent)
            return await self._creator.checked(seed)
        except ServiceError as refusal:
            if refusal.domain != InvalidBundle.domain:
                raise
            raise InvalidBundle(f"{one.draft.name}: {refusal.message}") from None


def _is_not_removed(workspace: Workspace) -> bool:
    return workspace.status is not Status.REMOVED


def _render_tree(
    workspace: Workspace,
    found: list[Workspace],
    files: Mapping[str, Files],
    cards: Mapping[WorkspaceId, bytes],
) -> dict[str, Any]:
    below = sorted((one for one in found if one.parent_id == workspace.id), key=lambda one: (one.created_at, one.id))
    card = cards.get(workspace.id)
    return bundle_file.render_bundle(
        workspace,
        files[workspace.kit],
        json.loads(card) if card else None,
        [_render_tree(child, found, files, cards) for child in below],
    )


def _build_tree(made: list[Workspace], packed: list[BundledWorkspace], place: int) -> BundleMember:
    children = [number for number, one in enumerate(packed) if one.parent == place]
    return BundleMember(made[place], tuple(_build_tree(made, packed, child) for child in children))
