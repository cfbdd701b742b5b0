"""Taking trees of workspaces along: out as bundles, and in again as new workspaces."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from services.chassis.errors import ServiceError
from services.chassis.identity import Identity
from services.registry import access
from services.registry.directory.creation import MOST, Founding, Seed
from services.registry.errors.orgs import BundleNotFound, InvalidBundle
from services.registry.organisations import bundle_file
from services.registry.organisations.bundle_file import Packed
from services.registry.store.transaction import Store
from services.registry.templates import config_file
from services.registry.workspace import starter_files
from services.registry.workspace.model import Status, Workspace, WorkspaceId
from services.registry.workspace.starter_files import CONFIG_FILE, Files


@dataclass(frozen=True, slots=True)
class Made:
    """A workspace made of a bundle, and those below it."""

    workspace: Workspace
    children: tuple["Made", ...]


class Bundles:
    """Exports and imports."""

    def __init__(self, store: Store, *, founding: Founding) -> None:
        self._store = store
        self._founding = founding

    async def export(self, caller: Identity, workspace_id: WorkspaceId) -> bytes:
        """A workspace and all below it, as JSON; raises `BundleNotFound`."""
        async with self._store.begin() as tx:
            root = await tx.find(workspace_id)
            access.check_org(caller, root)
            if root is None or root.status is Status.REMOVED:
                raise BundleNotFound
            found = [one for one in await tx.lists.list_by_ids(await tx.tree.list_subtree_ids(root.id)) if _stands(one)]
            cards = await tx.cards([one.id for one in found])
            digests = {one.starter_files_digest for one in found}
            files = {digest: await tx.starter_files.get(digest) for digest in digests}
        made = _bundled(root, found, files, cards)
        return json.dumps(made, ensure_ascii=False, separators=(",", ":")).encode()

    async def make(self, caller: Identity, request_id: str, content: bytes) -> Made:
        """New workspaces of a bundle: all, or none. Raises `InvalidBundle` that says which cannot be one."""
        packed = bundle_file.packed(content)
        if len(packed) > MOST:
            raise InvalidBundle(f"more than {MOST} workspaces")
        seeds = [await self._seed(one) for one in packed]
        made = await self._founding.found(caller, request_id, seeds)
        return _nested(made, packed, 0)

    async def _seed(self, one: Packed) -> Seed:
        try:
            files = starter_files.validate_files(one.kit.files)
            if files and CONFIG_FILE not in files:
                files = starter_files.validate_files({**files, CONFIG_FILE: config_file.generated(one.draft)})
            seed = Seed(draft=one.draft, kit=replace(one.kit, files=files), parent=one.parent)
            return await self._founding.checked(seed)
        except ServiceError as refusal:
            if refusal.domain != InvalidBundle.domain:
                raise
            raise InvalidBundle(f"{one.draft.name}: {refusal.message}") from None


def _stands(workspace: Workspace) -> bool:
    return workspace.status is not Status.REMOVED


def _bundled(
    workspace: Workspace,
    found: list[Workspace],
    files: Mapping[str, Files],
    cards: Mapping[WorkspaceId, bytes],
) -> dict[str, Any]:
    below = sorted((one for one in found if one.parent_id == workspace.id), key=lambda one: (one.created_at, one.id))
    card = cards.get(workspace.id)
    return bundle_file.written(
        workspace,
        files[workspace.starter_files_digest],
        json.loads(card) if card else None,
        [_bundled(child, found, files, cards) for child in below],
    )


def _nested(made: list[Workspace], packed: list[Packed], place: int) -> Made:
    children = [number for number, one in enumerate(packed) if one.parent == place]
    return Made(made[place], tuple(_nested(made, packed, child) for child in children))
