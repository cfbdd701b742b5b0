"""Decides which paths of a workspace callers may name, and how much they may write (docs/spec/rest.md, 6.12)."""

from collections.abc import Mapping
from typing import TypeVar

from services.provisioner.errors import FileTooLarge, InvalidDepth, InvalidPath, InvalidRoot, TooManyFiles
from services.provisioner.model import FileContent, FileEntry, FilePath, FileRoot

MAX_PATH_BYTES = 512

MAX_DEPTH = 5
"""Levels of a list."""

MAX_FILES = 200
"""Files that one call writes."""

MAX_BYTES = 8 * 1024 * 1024
"""Bytes of a file that is read, and of all files of one call that writes."""

MAX_ENTRIES = 2000
"""Files and directories in one list."""

PLANE_FILE_PREFIXES = (
    ".auth_token",
    ".platform_inbound_secret",
    ".molecule-kit",
    ".molecule-half",
    ".molecule-output",
    ".molecule-plugins",
)
"""Names of the files that the plane writes for itself, and of their unfinished copies, begin with these."""

C = TypeVar("C", str, bytes)
"""The content of a file as it is given: a text or bytes."""


def parse_root(text: str) -> FileRoot:
    """Return a root, /configs for an empty text; raises `InvalidRoot`."""
    try:
        return FileRoot(text or FileRoot.CONFIGS)
    except ValueError:
        raise InvalidRoot from None


def parse_path(text: str) -> FilePath:
    """Return the names of a path below a root; raises `InvalidPath` for one that no caller may name."""
    names = tuple(text.split("/"))
    is_short = len(text.encode(errors="replace")) <= MAX_PATH_BYTES
    if not is_short or not all(is_nameable(name) for name in names):
        raise InvalidPath
    return names


def parse_directory(text: str) -> FilePath:
    """Return the names of a directory below a root; none for the root itself. Raises `InvalidPath`."""
    return parse_path(text) if text else ()


def is_nameable(name: str) -> bool:
    """Whether a caller may name a file or directory with this name, and is shown it."""
    has_odd_characters = "\\" in name or "/" in name or not name.isprintable()
    return name not in {"", ".", ".."} and not has_odd_characters and not name.startswith(PLANE_FILE_PREFIXES)


def check_depth(depth: int) -> int:
    """Return the depth; raises `InvalidDepth`."""
    if not 1 <= depth <= MAX_DEPTH:
        raise InvalidDepth
    return depth


def check_files(files: Mapping[str, C]) -> dict[FilePath, C]:
    """Return the files by the names of their paths; raises `TooManyFiles`, `FileTooLarge` or `InvalidPath`."""
    if len(files) > MAX_FILES:
        raise TooManyFiles(len(files), MAX_FILES)
    if sum(len(encode_content(content)) for content in files.values()) > MAX_BYTES:
        raise FileTooLarge(MAX_BYTES)
    return {parse_path(path): content for path, content in files.items()}


def encode_content(content: FileContent) -> bytes:
    """Return the bytes that are written for a content."""
    return content.encode() if isinstance(content, str) else content


def list_template(files: Mapping[str, FileContent], directory: FilePath, depth: int) -> list[FileEntry]:
    """Return the entries of a template below a directory, as those of an instance."""
    sizes: dict[FilePath, int | None] = {}
    for path, content in files.items():
        names = tuple(path.split("/"))
        if names[: len(directory)] == directory and all(is_nameable(name) for name in names):
            sizes |= dict.fromkeys((names[:level] for level in range(len(directory) + 1, len(names))), None)
            sizes[names] = len(encode_content(content))
    return [
        FileEntry(path="/".join(names), size=size or 0, is_directory=size is None)
        for names, size in sorted(sizes.items())
        if len(directory) < len(names) <= len(directory) + depth
    ][:MAX_ENTRIES]
