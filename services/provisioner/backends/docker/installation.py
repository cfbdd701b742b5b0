"""The id of an installation, which tells the containers of one plane from those of another on the same engine."""

import contextlib
import os
import secrets
from pathlib import Path

FILE = "installation-id"

MAX_ID_BYTES = 64


def load_installation_id(home: Path) -> str:
    """Return the id of this home; the first call creates it. It outlives the database. Raises `OSError`."""
    path = home / FILE
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        _create(path, secrets.token_hex(8))
    with path.open(encoding="ascii") as file:
        return file.read(MAX_ID_BYTES).strip()


def _create(path: Path, installation_id: str) -> None:
    """Write the whole file or none; the first of two writers wins."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    temporary.write_text(installation_id, encoding="ascii")
    with contextlib.suppress(FileExistsError):
        os.link(temporary, path)
    temporary.unlink()
