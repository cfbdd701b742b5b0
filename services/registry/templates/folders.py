"""The folders of templates: every directory right below the root that holds a config.yaml."""

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
from services.registry.templates.bounded_yaml import BadDocument
from services.registry.templates.config_file import Recipe
from services.registry.workspace import starter_files
from services.registry.workspace.starter_files import CONFIG_FILE, Files, StarterFiles
from services.registry.workspace.validation import DEFAULT_RUNTIME, WorkspaceDraft

log = structlog.get_logger()

MOST = 1000
"""Templates that are looked at."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
"""Names of template directories; others are not templates."""


@dataclass(frozen=True, slots=True)
class Template:
    """A template by its directory, and what its config.yaml says."""

    id: str
    said: Recipe


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a directory is no template, or cannot be used as one; in one line for the operator."""

    id: str
    text: str


Visit = Callable[[str, bytes], None]


class Templates:
    """The templates of a plane. They are read when they are needed: what is put there is there at once."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def all(self) -> tuple[list[Template], list[Problem]]:
        """Every template by name, and what is wrong with the others."""
        return await asyncio.to_thread(self._all)

    async def kit(self, draft: WorkspaceDraft) -> tuple[WorkspaceDraft, StarterFiles]:
        """The draft with the defaults of its template, and what that gives it; raises `InvalidTemplate`."""
        if not draft.template:
            return draft, StarterFiles()
        said, files = await asyncio.to_thread(self._read, draft.template)
        return config_file.defaulted(draft, said), StarterFiles(template=draft.template, files=files, brief=said.brief)

    async def has(self, template_id: str) -> bool:
        """Whether there is a template of this name."""
        config = self._root / template_id / CONFIG_FILE
        return bool(NAME.fullmatch(template_id)) and await asyncio.to_thread(config.is_file)

    async def add(self, name: str, files: Files) -> str:
        """Make a template of these files, whole or not at all; its id. Raises `TemplateExists` and what is invalid."""
        template_id = directory_of(name)
        if not NAME.fullmatch(template_id):
            raise InvalidPath
        files = starter_files.validate_files(
            {CONFIG_FILE: config_file.generated(WorkspaceDraft(name=name, runtime=DEFAULT_RUNTIME)), **files}
        )
        try:
            config_file.recipe(files[CONFIG_FILE].encode())
        except BadDocument as fault:
            raise InvalidTemplate(f"{CONFIG_FILE}: {fault}") from None
        await asyncio.to_thread(self._write, template_id, files)
        log.info("template imported", template=template_id, files=len(files))
        return template_id

    def _all(self) -> tuple[list[Template], list[Problem]]:
        found: list[Template] = []
        problems: list[Problem] = []

        def visit(template_id: str, content: bytes) -> None:
            try:
                found.append(Template(template_id, config_file.recipe(content)))
                files_in(self._root / template_id)
            except (BadDocument, BadFolder) as fault:
                problems.append(Problem(template_id, str(fault)))

        walk_template_configs(self._root, visit)
        return found, problems

    def _read(self, template_id: str) -> tuple[Recipe, Files]:
        place = self._root / template_id
        if not NAME.fullmatch(template_id) or not _within(place, self._root):
            raise InvalidTemplate
        try:
            files = files_in(place)
            return config_file.recipe(files.get(CONFIG_FILE, "").encode()), files
        except (BadDocument, BadFolder) as fault:
            raise InvalidTemplate(str(fault)) from None

    def _write(self, template_id: str, files: Files) -> None:
        """Into a sibling that no walker sees, which then takes the name: nobody meets half a template."""
        place = self._root / template_id
        half = self._root / f".{template_id}.{secrets.token_hex(8)}"
        if place.exists():
            raise TemplateExists(template_id)
        try:
            for path, text in files.items():
                file = half / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8", newline="")
            _take_name(half, place)
        finally:
            shutil.rmtree(half, ignore_errors=True)


def directory_of(name: str) -> str:
    """The directory that is named like something; empty where none can be."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", name).strip("-._").lower()


class BadFolder(Exception):
    """A directory whose files an instance cannot have; the text is one line for the operator."""


def walk_template_configs(root: Path, visit: Visit) -> None:
    """Show `visit` each template by name, with its config.yaml. What is none, or not readable, is passed over."""
    for place in _places(root):
        config = place / CONFIG_FILE
        try:
            if config.is_file() and _within(config, root):
                with config.open("rb") as file:
                    visit(place.name, file.read(config_file.CONFIG_BYTES + 1))
        except OSError as error:
            log.warning("template not readable", template=place.name, error=error.strerror)


def load_runtime_provision_timeouts(root: Path) -> Mapping[str, int]:
    """Seconds that agents may take to come up, by runtime: the largest that any template of the runtime declares."""
    found: dict[str, int] = {}

    def visit(_: str, content: bytes) -> None:
        try:
            said = config_file.recipe(content)
        except BadDocument:
            return
        seconds = said.runtime_config.provision_timeout_seconds
        if said.runtime and seconds:
            found[said.runtime] = max(found.get(said.runtime, 0), seconds)

    walk_template_configs(root, visit)
    return found


def files_in(place: Path) -> Files:
    """The files below a directory, by path; raises `BadFolder` for what no instance can have."""
    files: dict[str, str] = {}
    weight = 0
    for path in _files_below(place):
        name = path.relative_to(place).as_posix()
        if not _within(path, place):
            raise BadFolder(f"{name}: leads out of the directory")
        try:
            weight += path.stat().st_size
            if weight > starter_files.MAX_TOTAL_BYTES or len(files) >= starter_files.MAX_FILES:
                raise BadFolder(f"more than {starter_files.MAX_FILES} files or {starter_files.MAX_TOTAL_BYTES} bytes")
            files[name] = _text(path)
        except OSError as error:
            raise BadFolder(f"{name}: {error.strerror}") from None
        except ValueError:
            raise BadFolder(f"{name}: not UTF-8 text") from None
    try:
        return starter_files.validate_files(files)
    except (InvalidPath, TooManyFiles) as refusal:
        raise BadFolder(refusal.message) from None


def _places(root: Path) -> list[Path]:
    try:
        found = [place for place in root.iterdir() if NAME.fullmatch(place.name) and place.is_dir()]
    except OSError:
        return []
    return sorted(place for place in found if _within(place, root))[:MOST]


def _files_below(place: Path) -> Iterator[Path]:
    """Regular files, also behind links; a directory behind a link is not entered, so that there is an end to it."""
    try:
        found = sorted(place.rglob("*"))
    except OSError as error:
        raise BadFolder(error.strerror or "not readable") from None
    return (path for path in found if path.is_file())


def _text(path: Path) -> str:
    text = path.read_bytes().decode("utf-8")
    if "\0" in text:
        raise ValueError(path.name)
    return text


def _within(path: Path, root: Path) -> bool:
    """Whether it is really there, wherever links lead."""
    return path.resolve().is_relative_to(root.resolve())


def _take_name(half: Path, place: Path) -> None:
    try:
        half.rename(place)
    except OSError:
        if place.exists():
            raise TemplateExists(place.name) from None
        raise
