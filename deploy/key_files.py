"""Keys in files of the home, which only the plane's user can read."""

from collections.abc import Callable
from pathlib import Path


def load_or_create_key(path: Path, create: Callable[[], str]) -> str:
    """Return the key in the file. It is created once, because another key would not fit what the first one protects."""
    if not path.exists():
        temporary = path.with_suffix(".new")
        temporary.unlink(missing_ok=True)
        temporary.touch(mode=0o600)
        temporary.write_text(f"{create()}\n")
        temporary.replace(path)
    return path.read_text().strip()
