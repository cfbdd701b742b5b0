"""Reads the instructions (the system prompt) of a workspace, and the name of its model as its provider knows it."""

from molecule_agent.adapter import AdapterError, Workspace
from molecule_agent.adapters.options import Options

FILE_NAME = "system-prompt.md"
"""The file below configs/ that templates use for instructions."""

MAX_INSTRUCTION_BYTES = 256 * 1024

PROVIDERS = ("anthropic", "google", "minimax", "moonshot", "openai", "openrouter")
"""The providers whose names begin names of models in the catalogue of a plane, and which no provider expects."""


def read_instructions(workspace: Workspace) -> str:
    """Return INSTRUCTIONS, or else the text of the file; empty without both. Raises AdapterError."""
    if text := Options(workspace.environment).read_text("INSTRUCTIONS"):
        return text
    file = workspace.root / "configs" / FILE_NAME
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_INSTRUCTION_BYTES + 1)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise AdapterError(f"cannot read {file}: {error.strerror}") from error
    if len(content) > MAX_INSTRUCTION_BYTES:
        raise AdapterError(f"{file} is larger than {MAX_INSTRUCTION_BYTES} bytes")
    return content.decode(errors="replace").strip()


def read_model(workspace: Workspace) -> str:
    """Return the name of the model without its provider; raises AdapterError if none is set."""
    name = workspace.model or ""
    provider, _, rest = name.partition("/")
    name = rest if provider in PROVIDERS else name
    if not name:
        raise AdapterError("MODEL is required")
    return name
