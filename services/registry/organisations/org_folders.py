"""The folders of org templates: every directory right below the root that holds an org.yaml."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from services.registry.errors.orgs import (
    InvalidOrgDirectory,
    InvalidOrgTemplate,
    OrgExpansionFailed,
    OrgTemplateNotFound,
)
from services.registry.organisations import org_file
from services.registry.organisations.org_file import Organisation
from services.registry.templates import bounded_yaml
from services.registry.templates.bounded_yaml import InvalidYaml
from services.registry.templates.folders import MAX_TEMPLATES, TEMPLATE_ID, InvalidFolder, read_files
from services.registry.workspace.starter_files import Files

log = structlog.get_logger()

ORG_FILE = "org.yaml"
"""The file that declares an organisation."""

MAX_INCLUDE_DEPTH = 16
"""Includes within includes."""

MAX_INCLUDES = 500
"""Includes of one organisation."""


@dataclass(frozen=True, slots=True)
class OrgTemplate:
    """An organisation that could be imported, by its directory."""

    id: str
    org: Organisation


class OrgTemplateFolders:
    """The org templates of a plane, read when they are needed."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def list_templates(self) -> list[OrgTemplate]:
        """Every org template by name. One that is wrong is left out: importing it says why."""
        return await asyncio.to_thread(self._all)

    async def read(self, name: str) -> Any:  # noqa: ANN401 - somebody else's YAML
        """What an org template says, with its includes; raises what is wrong with it, or with its name."""
        return await asyncio.to_thread(self._read, name)

    async def files(self, name: str, folder: str) -> Files:
        """The files of a directory of an org template; raises `InvalidFolder`."""
        return await asyncio.to_thread(self._files, self._root / name, folder)

    def _all(self) -> list[OrgTemplate]:
        found = []
        for name in self._names():
            try:
                found.append(OrgTemplate(name, org_file.parse_organisation(self._read(name))))
            except (OrgExpansionFailed, InvalidOrgTemplate, OrgTemplateNotFound, InvalidOrgDirectory) as refusal:
                log.warning("org template not readable", template=name, detail=refusal.details.get("detail"))
        return found

    def _names(self) -> list[str]:
        try:
            return sorted(place.name for place in self._root.iterdir() if (place / ORG_FILE).is_file())[:MAX_TEMPLATES]
        except OSError:
            return []

    def _read(self, name: str) -> Any:  # noqa: ANN401 - somebody else's YAML
        if not TEMPLATE_ID.fullmatch(name) or not (self._root / name).resolve().is_relative_to(self._root.resolve()):
            raise InvalidOrgDirectory
        if not (self._root / name / ORG_FILE).is_file():
            raise OrgTemplateNotFound(name)
        return _IncludeReader(self._root / name).read(ORG_FILE)

    def _files(self, place: Path, folder: str) -> Files:
        inside = (place / folder).resolve()
        if not inside.is_relative_to(place.resolve()) or not inside.is_dir():
            raise InvalidFolder("not a directory of the org template")
        return read_files(inside)


class _IncludeReader:
    """One org template being read: its files, each within those that include it."""

    def __init__(self, place: Path) -> None:
        self._place = place.resolve()
        self._above: list[Path] = []
        self._count = 0

    def read(self, path: str) -> Any:  # noqa: ANN401 - somebody else's YAML
        """What a file holds; its path is relative to the file that includes it."""
        file = ((self._above[-1].parent if self._above else self._place) / path).resolve()
        self._count += 1
        self._check(path, file)
        self._above.append(file)
        try:
            with file.open("rb") as opened:
                return bounded_yaml.parse_yaml(opened.read(bounded_yaml.MAX_YAML_BYTES + 1), self.read)
        except (InvalidYaml, ValueError) as fault:
            raise OrgExpansionFailed(f"{file.relative_to(self._place)}: {fault}") from None
        except OSError as error:
            raise OrgExpansionFailed(f"{file.relative_to(self._place)}: {error.strerror}") from None
        finally:
            self._above.pop()

    def _check(self, path: str, file: Path) -> None:
        if not file.is_relative_to(self._place):
            raise OrgExpansionFailed(f"!include {path[:100]}: leads out of the directory")
        if not file.is_file():
            raise OrgExpansionFailed(f"!include {path[:100]}: no such file")
        if file in self._above:
            raise OrgExpansionFailed(f"!include {path[:100]}: includes itself")
        if len(self._above) > MAX_INCLUDE_DEPTH:
            raise OrgExpansionFailed(f"!include {path[:100]}: more than {MAX_INCLUDE_DEPTH} levels")
        if self._count > MAX_INCLUDES:
            raise OrgExpansionFailed(f"!include {path[:100]}: more than {MAX_INCLUDES} includes")
