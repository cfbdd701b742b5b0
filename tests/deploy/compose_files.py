"""Reads the compose files as the compose program does, with the defaults of their variables."""

import re
from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"

VARIABLE = re.compile(r"\$\{(?P<name>[A-Z_]+)(?::-(?P<default>[^}]*))?\}")

GIVEN = {"COMPOSE_PROJECT_NAME": "molecule"}


class Loader(yaml.SafeLoader):
    """Reads the tag `!reset` of compose as an absent value."""


Loader.add_constructor("!reset", lambda _loader, _node: None)


def read_compose_file(name: str) -> dict[str, Any]:
    """Return the services of a file by name."""
    document = yaml.load((DEPLOY / name).read_text(), Loader)  # noqa: S506 - a safe loader
    services: dict[str, Any] = fill(document["services"])
    return services


def fill(value: Any) -> Any:
    """Return a value of the file with the variables replaced by their defaults."""
    match value:
        case str():
            return VARIABLE.sub(lambda found: GIVEN.get(found["name"], found["default"] or ""), value)
        case dict():
            return {key: fill(item) for key, item in value.items()}
        case list():
            return [fill(item) for item in value]
    return value
