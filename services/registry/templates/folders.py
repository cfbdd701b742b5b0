"""Reads and writes templates on disk: every direct subdirectory of the root that contains a config.yaml."""

import asyncio
import re
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from services.registry.errors.templates import InvalidPath, InvalidTemplate, TemplateExists, TooManyFiles
from services.registry.templates import config_file
from services.registry.templates.bounded_yaml import InvalidYaml
from services.registry.templates.config_file import TemplateConfig
from services.registry.workspace import starter_files
from services.registry.workspace.model import EXTERNAL
from services.registry.workspace.starter_files import CONFIG_FILE, Files, StarterFiles
from services.registry.workspace.validation import DEFAULT_RUNTIME, WorkspaceDraft

log = structlog.get_logger()

MAX_TEMPLATES = 1000
"""How many directories are read."""

TEMPLATE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
"""The form of a template's id, the name of its directory. Other directories are ignored."""


@dataclass(frozen=True, slots=True)
class Template:
    """A template. `id` is the name of its directory."""

    id: str
    config: TemplateConfig


@dataclass(frozen=True, slots=True)
class TemplateProblem:
    """Why a directory cannot be used as a template. `text` is one line for the operator."""

    id: str
    text: str


ConfigVisitor = Callable[[str, bytes], None]
"""Receives the id of a template and the content of its config.yaml."""


class TemplateFolders:
    """The templates below one root. Every call reads them anew, so that a new directory needs no restart."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def list_templates(self) -> tuple[list[Template], list[TemplateProblem]]:
        """Return the templates sorted by id, and what is wrong with directories that cannot be used."""
        return await asyncio.to_thread(self._list_templates)

    async def apply_template(self, draft: WorkspaceDraft) -> tuple[WorkspaceDraft, StarterFiles]:
        """Return the draft with the defaults of its template, and the starter files; raises `InvalidTemplate`."""
        if not draft.template:
            return draft, StarterFiles()
        config, files = await asyncio.to_thread(self._read_template, draft.template)
        starter = StarterFiles(template=draft.template, files=files, brief=config.brief)
        return config_file.apply_defaults(draft, config), starter

    async def has_template(self, template_id: str) -> bool:
        """Whether a template has this id."""
        config = self._root / template_id / CONFIG_FILE
        return bool(TEMPLATE_ID.fullmatch(template_id)) and await asyncio.to_thread(config.is_file)

    async def import_template(self, name: str, files: Files) -> str:
        """Write a template with these files, completely or not at all, and return its id.

        Raises `TemplateExists`, and `InvalidPath`, `InvalidTemplate`, `TooManyFiles` or `FilesTooLarge` for its files.
        """
        template_id = derive_template_id(name)
        if not TEMPLATE_ID.fullmatch(template_id):
            raise InvalidPath
        files = starter_files.validate_files(
            {CONFIG_FILE: config_file.generate_config(WorkspaceDraft(name=name, runtime=DEFAULT_RUNTIME)), **files}
        )
        try:
            config = config_file.parse_config(files[CONFIG_FILE].encode())
        except InvalidYaml as fault:
            raise InvalidTemplate(f"{CONFIG_FILE}: {fault}") from None
        for member in ("adapter", "command"):
            if getattr(config, member):
                raise InvalidTemplate(
                    f"{CONFIG_FILE}: {member}: only a template that the operator puts on disk may have one"
                )
        await asyncio.to_thread(self._write_template, template_id, files)
        log.info("template imported", template=template_id, files=len(files))
        return template_id

    def _list_templates(self) -> tuple[list[Template], list[TemplateProblem]]:
        found: list[Template] = []
        problems: list[TemplateProblem] = []

        def visit(template_id: str, content: bytes) -> None:
            try:
                found.append(Template(template_id, config_file.parse_config(content)))
                read_files(self._root / template_id)
            except (InvalidYaml, InvalidFolder) as fault:
                problems.append(TemplateProblem(template_id, str(fault)))

        walk_template_configs(self._root, visit)
        return found, problems

    def _read_template(self, template_id: str) -> tuple[TemplateConfig, Files]:
        directory = self._root / template_id
        if not TEMPLATE_ID.fullmatch(template_id) or not _is_within(directory, self._root):
            raise InvalidTemplate
        try:
            files = read_files(directory)
            return config_file.parse_config(files.get(CONFIG_FILE, "").encode()), files
        except (InvalidYaml, InvalidFolder) as fault:
            raise InvalidTemplate(str(fault)) from None

    def _write_template(self, template_id: str, files: Files) -> None:
        """Write a hidden directory and rename it at the end, so that no reader sees a part of a template."""
        directory = self._root / template_id
        partial = self._root / f".{template_id}.{secrets.token_hex(8)}"
        if directory.exists():
            raise TemplateExists(template_id)
        try:
            for path, text in files.items():
                file = partial / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8", newline="")
            _rename_into_place(partial, directory)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def derive_template_id(name: str) -> str:
    """Return the template id that a name stands for; empty if no character of it can be used."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", name).strip("-._").lower()


class InvalidFolder(Exception):
    """The files of a directory cannot be given to an instance. The text is one line for the operator."""


def walk_template_configs(root: Path, visit: ConfigVisitor) -> None:
    """Call `visit` for each template, sorted by id (REG-57). A config.yaml that cannot be read is skipped."""
    for directory in _list_directories(root):
        config = directory / CONFIG_FILE
        try:
            if config.is_file() and _is_within(config, root):
                with config.open("rb") as file:
                    visit(directory.name, file.read(config_file.MAX_CONFIG_BYTES + 1))
        except OSError as error:
            log.warning("template not readable", template=directory.name, error=error.strerror)


def load_runtime_provision_timeouts(root: Path) -> Mapping[str, int]:
    """Return provision timeouts in seconds by runtime: the largest of all templates of the runtime (REG-59)."""
    found: dict[str, int] = {}

    def visit(_: str, content: bytes) -> None:
        try:
            config = config_file.parse_config(content)
        except InvalidYaml:
            return
        seconds = config.runtime_config.provision_timeout_seconds
        if config.runtime and seconds:
            found[config.runtime] = max(found.get(config.runtime, 0), seconds)

    walk_template_configs(root, visit)
    return found


def load_adapters(root: Path) -> Mapping[str, str]:
    """Return the adapter modules that templates declare, by runtime; of several for one runtime the first counts."""
    found: dict[str, str] = {}

    def visit(template_id: str, content: bytes) -> None:
        try:
            config = config_file.parse_config(content)
        except InvalidYaml:
            return
        if not config.adapter or config.runtime in {"", EXTERNAL}:
            return
        if found.setdefault(config.runtime, config.adapter) != config.adapter:
            log.warning("second adapter of a runtime ignored", template=template_id, runtime=config.runtime)

    walk_template_configs(root, visit)
    return found


def load_commands(root: Path) -> Mapping[str, tuple[str, ...]]:
    """Return the commands that templates declare, by runtime; of several for one runtime the first counts."""
    found: dict[str, tuple[str, ...]] = {}

    def visit(template_id: str, content: bytes) -> None:
        try:
            config = config_file.parse_config(content)
        except InvalidYaml:
            return
        if not config.command or config.runtime in {"", EXTERNAL}:
            return
        if found.setdefault(config.runtime, tuple(config.command)) != tuple(config.command):
            log.warning("second command of a runtime ignored", template=template_id, runtime=config.runtime)

    walk_template_configs(root, visit)
    return found


def read_files(directory: Path) -> Files:
    """Return the files below a directory by path; raises `InvalidFolder` for files that no instance can have."""
    files: dict[str, str] = {}
    total_bytes = 0
    for path in _walk_files(directory):
        name = path.relative_to(directory).as_posix()
        if not _is_within(path, directory):
            raise InvalidFolder(f"{name}: leads out of the directory")
        try:
            total_bytes += path.stat().st_size
            if total_bytes > starter_files.MAX_TOTAL_BYTES or len(files) >= starter_files.MAX_FILES:
                raise InvalidFolder(
                    f"more than {starter_files.MAX_FILES} files or {starter_files.MAX_TOTAL_BYTES} bytes"
                )
            files[name] = _read_text(path)
        except OSError as error:
            raise InvalidFolder(f"{name}: {error.strerror}") from None
        except ValueError:
            raise InvalidFolder(f"{name}: not UTF-8 text") from None
    try:
        return starter_files.validate_files(files)
    except (InvalidPath, TooManyFiles) as refusal:
        raise InvalidFolder(refusal.message) from None


def _list_directories(root: Path) -> list[Path]:
    try:
        found = [
            directory for directory in root.iterdir() if TEMPLATE_ID.fullmatch(directory.name) and directory.is_dir()
        ]
    except OSError:
        return []
    return sorted(directory for directory in found if _is_within(directory, root))[:MAX_TEMPLATES]


def _walk_files(directory: Path) -> Iterator[Path]:
    """Yield regular files, also through links to files. Links to directories are not followed: they may be cyclic."""
    try:
        found = sorted(directory.rglob("*"))
    except OSError as error:
        raise InvalidFolder(error.strerror or "not readable") from None
    return (path for path in found if path.is_file())


def _read_text(path: Path) -> str:
    text = path.read_bytes().decode("utf-8")
    if "\0" in text:
        raise ValueError(path.name)
    return text


def _is_within(path: Path, root: Path) -> bool:
    """Whether the path is below the root once links are resolved."""
    return path.resolve().is_relative_to(root.resolve())


def _rename_into_place(partial: Path, directory: Path) -> None:
    try:
        partial.rename(directory)
    except OSError:
        if directory.exists():
            raise TemplateExists(directory.name) from None
        raise
