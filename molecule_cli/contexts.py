"""Stores named contexts: how the planes of a person are reached. Only the owner can read the file."""

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from molecule_cli.errors import CliError

FILE_NAME = "config.yaml"

MAX_FILE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Context:
    """How one plane is reached; the token is in the file itself, or in a file that `token_file` names."""

    url: str
    token: str = field(default="", repr=False)
    token_file: str = ""

    def read_token(self) -> str:
        """Return the token; empty if none is needed. Raises `CliError` if its file cannot be read."""
        if not self.token_file:
            return self.token
        try:
            return Path(self.token_file).expanduser().read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            message = f"the token file {self.token_file} of this context cannot be read: {error}"
            raise CliError(message) from None


@dataclass(frozen=True, slots=True)
class Contexts:
    """All contexts by name, and the name of the current one; empty for none."""

    current: str = ""
    by_name: Mapping[str, Context] = field(default_factory=dict)

    def get(self, name: str) -> Context:
        """Return a context; raises `CliError` if there is none of this name."""
        if name not in self.by_name:
            known = ", ".join(self.by_name) or "none yet"
            message = f"there is no context {name} (known: {known}): molecule config set {name} --url URL makes it"
            raise CliError(message)
        return self.by_name[name]


def load_contexts(path: Path) -> Contexts:
    """Read the file; one that does not exist has no contexts. Raises `CliError` for a file of another form."""
    import yaml

    try:
        with path.open("rb") as file:
            content = yaml.safe_load(file.read(MAX_FILE_BYTES)) or {}
        by_name = {
            str(name): Context(**{key: str(value) for key, value in members.items()})
            for name, members in (content.get("contexts") or {}).items()
        }
        return Contexts(current=str(content.get("current") or ""), by_name=by_name)
    except FileNotFoundError:
        return Contexts()
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}"
        raise CliError(message) from None
    except (yaml.YAMLError, AttributeError, TypeError, UnicodeDecodeError):
        message = f"{path} is no file of contexts: move it away, and molecule config set NAME --url URL makes another"
        raise CliError(message) from None


def save_contexts(path: Path, contexts: Contexts) -> None:
    """Replace the file in one step, readable for its owner only. Raises `CliError` if it cannot be written."""
    import yaml

    members: dict[str, dict[str, Any]] = {
        name: {key: value for key in ("url", "token", "token_file") if (value := getattr(context, key))}
        for name, context in contexts.by_name.items()
    }
    text = yaml.safe_dump({"current": contexts.current, "contexts": members}, sort_keys=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).replace(path)
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror}; MOLECULE_CONFIG names another file"
        raise CliError(message) from None
