"""Reads org templates from disk: every direct subdirectory of the root that contains an org.yaml."""

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
"""How deeply includes may be nested."""

MAX_INCLUDES = 500
"""How many files one organisation may include."""


@dataclass(frozen=True, slots=True)
class OrgTemplate:
    """An organisation that can be imported. `id` is the name of its directory."""

    id: str
    org: Organisation


class OrgTemplateFolders:
    """The org templates below one root. Every call reads them anew."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def list_templates(self) -> list[OrgTemplate]:
        """Return the valid org templates, sorted by name. The import of an invalid one reports what is wrong."""
        return await asyncio.to_thread(self._list_templates)

    async def read_org(self, name: str) -> Any:  # noqa: ANN401 - parsed YAML
        """Return the parsed org.yaml of a template, with its includes.

        Raises `InvalidOrgDirectory`, `OrgTemplateNotFound` or `OrgExpansionFailed`.
        """
        return await asyncio.to_thread(self._read_org, name)

    async def read_files(self, name: str, folder: str) -> Files:
        """Return the files of a directory within an org template; raises `InvalidFolder`."""
        return await asyncio.to_thread(self._read_files, self._root / name, folder)

    def _list_templates(self) -> list[OrgTemplate]:
        found = []
        for name in self._list_names():
            try:
                found.append(OrgTemplate(name, org_file.parse_organisation(self._read_org(name))))
            except (OrgExpansionFailed, InvalidOrgTemplate, OrgTemplateNotFound, InvalidOrgDirectory) as refusal:
                log.warning("org template skipped", template=name, detail=refusal.details.get("detail"))
        return found

    def _list_names(self) -> list[str]:
        try:
            names = [directory.name for directory in self._root.iterdir() if (directory / ORG_FILE).is_file()]
            return sorted(names)[:MAX_TEMPLATES]
        except OSError:
            return []

    def _read_org(self, name: str) -> Any:  # noqa: ANN401 - parsed YAML
        if not TEMPLATE_ID.fullmatch(name) or not (self._root / name).resolve().is_relative_to(self._root.resolve()):
            raise InvalidOrgDirectory
        if not (self._root / name / ORG_FILE).is_file():
            raise OrgTemplateNotFound(name)
        return _IncludeReader(self._root / name).read(ORG_FILE)

    def _read_files(self, directory: Path, folder: str) -> Files:
        inside = (directory / folder).resolve()
        if not inside.is_relative_to(directory.resolve()) or not inside.is_dir():
            raise InvalidFolder("not a directory of the org template")
        return read_files(inside)


class _IncludeReader:
    """Reads one org template and the files that it includes, within limits."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory.resolve()
        self._including: list[Path] = []
        self._count = 0

    def read(self, path: str) -> Any:  # noqa: ANN401 - parsed YAML
        """Return the parsed content of a file; its path is relative to the file that includes it."""
        file = ((self._including[-1].parent if self._including else self._directory) / path).resolve()
        self._count += 1
        self._check(path, file)
        self._including.append(file)
        try:
            with file.open("rb") as opened:
                return bounded_yaml.parse_yaml(opened.read(bounded_yaml.MAX_YAML_BYTES + 1), self.read)
        except (InvalidYaml, ValueError) as fault:
            raise OrgExpansionFailed(f"{file.relative_to(self._directory)}: {fault}") from None
        except OSError as error:
            raise OrgExpansionFailed(f"{file.relative_to(self._directory)}: {error.strerror}") from None
        finally:
            self._including.pop()

    def _check(self, path: str, file: Path) -> None:
        if not file.is_relative_to(self._directory):
            raise OrgExpansionFailed(f"!include {path[:100]}: leads out of the directory")
        if not file.is_file():
            raise OrgExpansionFailed(f"!include {path[:100]}: no such file")
        if file in self._including:
            raise OrgExpansionFailed(f"!include {path[:100]}: includes itself")
        if len(self._including) > MAX_INCLUDE_DEPTH:
            raise OrgExpansionFailed(f"!include {path[:100]}: more than {MAX_INCLUDE_DEPTH} levels")
        if self._count > MAX_INCLUDES:
            raise OrgExpansionFailed(f"!include {path[:100]}: more than {MAX_INCLUDES} includes")
