"""Reads the manifest of a plugin, `plugin.yaml` or `plugin.json`. JSON is YAML, so one parser reads both."""

from typing import Annotated, Any

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from yaml import CSafeLoader

from services.provisioner.plugins.errors import PluginRefused
from services.provisioner.plugins.model import MAX_MANIFEST_BYTES, Manifest
from services.provisioner.plugins.rules import is_plugin_name

MAX_DEPTH = 16
"""Nesting levels of a manifest."""

MAX_ITEMS = 100
"""Items of a list of a manifest."""


def parse_manifest(content: bytes) -> Manifest:
    """Return the manifest; raises `PluginRefused`. Members that are not known are ignored."""
    value = _parse_yaml(content)
    try:
        file = _ManifestFile.model_validate(value)
    except ValidationError:
        raise PluginRefused("invalid plugin manifest") from None
    if not is_plugin_name(file.name):
        raise PluginRefused("invalid plugin name")
    return Manifest(
        name=file.name,
        version=file.version,
        description=file.description,
        author=file.author,
        tags=tuple(file.tags),
        skills=tuple(file.skills),
        runtimes=tuple(file.runtimes),
    )


def _parse_yaml(content: bytes) -> Any:  # noqa: ANN401 - any YAML value
    if len(content) > MAX_MANIFEST_BYTES:
        raise PluginRefused("invalid plugin manifest")
    try:
        text = content.decode("utf-8-sig")
        _check_structure(text)
        return yaml.load(text, Loader=CSafeLoader)
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError):
        raise PluginRefused("invalid plugin manifest") from None


def _check_structure(text: str) -> None:
    """Refuse aliases, which make a short text huge, and deep nesting, before any value is built."""
    depth = 0
    for event in yaml.parse(text, Loader=CSafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise PluginRefused("invalid plugin manifest")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise PluginRefused("invalid plugin manifest")


def _write_number(value: object) -> object:
    """Return a number as its text: a version such as `1.2` is a number to YAML."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _take_name(value: object) -> object:
    """Return the name of an author or skill that is described by a mapping."""
    return value.get("name", value.get("id")) if isinstance(value, dict) else value


ShortText = Annotated[str, BeforeValidator(_take_name), Field(max_length=200)]

Names = Annotated[list[ShortText], Field(max_length=MAX_ITEMS)]


class _ManifestFile(BaseModel):
    """The members of a manifest that are read."""

    model_config = ConfigDict(extra="ignore")

    name: str
    version: Annotated[str, BeforeValidator(_write_number), Field(max_length=100)] = ""
    description: Annotated[str, Field(max_length=4_000)] = ""
    author: ShortText = ""
    tags: Names = []
    skills: Names = []
    runtimes: Names = []
