"""Writes `settings.env`, the list of every setting: `python -m deploy.settings_file`, or `--check` for drift."""

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from pydantic_settings import BaseSettings

from deploy.settings import UpSettings
from services.chassis.settings import describe_settings

FILE = Path(__file__).with_name("settings.env")

SOURCES = (
    "services.auth.settings",
    "services.registry.settings",
    "services.provisioner.settings",
    "services.a2a_proxy.settings",
    "gateway.settings",
)

HEAD = """\
# Every setting of the plane: name, default and meaning. Written by `make settings`; a commented line is its default.
# The agent's own are in docs/agents.md.
"""


def main(arguments: list[str]) -> int:
    """Write the file, or say whether it is what the code says."""
    if arguments == ["--check"]:
        return check_settings_file(FILE)
    FILE.write_text(render_settings_file())
    return 0


def check_settings_file(file: Path) -> int:
    """0 if the file is what the settings say."""
    if file.exists() and file.read_text() == render_settings_file():
        return 0
    print(f"{file.name} is not what the settings say; run `make settings`", file=sys.stderr)  # noqa: T201
    return 1


def render_settings_file() -> str:
    """The whole file; a setting that several processes share stands where it is first met."""
    seen: set[str] = set()
    parts = [HEAD, _section("make up", UpSettings, seen)]
    for module in SOURCES:
        parts.extend(
            _section(module.removesuffix(".settings"), found, seen) for found in _find_settings_classes(module)
        )
    return "\n".join(part for part in parts if part)


def _find_settings_classes(module: str) -> Iterator[type[BaseSettings]]:
    for value in vars(import_module(module)).values():
        if isinstance(value, type) and issubclass(value, BaseSettings) and value.__module__ == module:
            yield value


def _section(title: str, settings: type[BaseSettings], seen: set[str]) -> str:
    lines = []
    for name, default, meaning in describe_settings(settings):
        if name not in seen:
            seen.add(name)
            lines.append(f"# {meaning}\n#{name}={'' if default == '(required)' else default}\n")
    return "\n".join([f"# ── {title} " + "─" * (100 - len(title)) + "\n", *lines]) if lines else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
