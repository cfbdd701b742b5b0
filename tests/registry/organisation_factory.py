"""Builds organisations in tests: the registry's imports, teams and bundles on template directories of the test."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.registry.clients import AuthClient
from services.registry.organisations.bundles import Bundles
from services.registry.organisations.org_folders import OrgTemplateFolders
from services.registry.organisations.org_import import OrgImporter
from services.registry.organisations.teams import Teams
from services.registry.templates.folders import TemplateFolders
from tests.registry.conftest import RegistryParts, build_parts
from tests.registry.fake_auth import FakeAuth, serve_auth
from tests.registry.fake_vault import FakeVault, serve_vault
from tests.rpc import open_channel_to

TEMPLATES = {
    "writer": "runtime: echo\nmodel: m\ntier: 3\ninitial_prompt: Say hello.",
    "lead": "runtime: echo\nsub_workspaces:\n  - {name: ann, role: Writes, config: writer}\n  - {name: bob}\n",
    "gone": "runtime: echo\nsub_workspaces: [{name: ann, config: nowhere}]",
}


class VaultWithGlobalSecrets(FakeVault):
    """Lists the global secrets of a test."""

    def __init__(self) -> None:
        super().__init__()
        self.keys: list[str] = []

    async def ListGlobalKeys(self, request: Any, context: Any) -> Any:
        from protos.auth.v1 import vault_pb2

        return vault_pb2.ListGlobalKeysResponse(keys=self.keys)


@dataclass
class OrganisationFactory:
    """The parts of the registry, and the services that create many workspaces at once."""

    registry: RegistryParts
    auth: FakeAuth
    vault: VaultWithGlobalSecrets
    orgs: OrgImporter
    teams: Teams
    bundles: Bundles
    folders: OrgTemplateFolders
    configs: Path
    org_dirs: Path

    def put_org(self, name: str, **files: str) -> None:
        for path, text in files.items():
            place = self.org_dirs / name / path.replace("__", "/").replace("_yaml", ".yaml")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)

    async def names(self) -> list[str]:
        async with self.registry.store.begin() as tx:
            return [one.name for one in await tx.lists.list_page(after=None, limit=1000, org_id=None)]

    async def untouched(self) -> bool:
        """Whether nothing was created: no workspace, no event, and no placement left in auth."""
        placed = set(self.auth.placed) - set(self.auth.forgotten)
        return await self.names() == [] and await self.registry.events() == [] and not placed


@asynccontextmanager
async def open_organisation_factory(
    engine: Any, database_url: str, clock: Any, tmp_path: Path, auth: Any = None
) -> AsyncIterator[OrganisationFactory]:
    configs, org_dirs = tmp_path / "configs", tmp_path / "orgs"
    org_dirs.mkdir()
    for name, text in TEMPLATES.items():
        (configs / name).mkdir(parents=True)
        (configs / name / "config.yaml").write_text(text)
    auth, vault = auth or FakeAuth(), VaultWithGlobalSecrets()
    async with open_channel_to([serve_auth(auth), serve_vault(vault)], caller_service="registry") as line:
        registry = build_parts(engine, database_url, auth, line, clock, configs=configs, org_dirs=org_dirs)
        client, templates, folders = AuthClient(line), TemplateFolders(configs), OrgTemplateFolders(org_dirs)
        yield OrganisationFactory(
            registry=registry,
            auth=auth,
            vault=vault,
            orgs=OrgImporter(folders, templates=templates, creator=registry.creator, auth=client),
            teams=Teams(registry.store, creator=registry.creator, removal=registry.removal, auth=client, clock=clock),
            bundles=Bundles(registry.store, creator=registry.creator),
            folders=folders,
            configs=configs,
            org_dirs=org_dirs,
        )
