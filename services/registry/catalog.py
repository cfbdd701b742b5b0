"""The catalogue of runtimes, models and model providers: parses `catalog.yaml` when the service starts."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from services.chassis.settings import InvalidSettings
from services.registry.workspace.validation import IMAGE_PATTERN, MAX_IMAGE_CHARS

CATALOG_PATH = Path(__file__).parent / "catalog.yaml"
"""The catalogue that is delivered with the service."""

DEFAULT_PROVISION_LIMIT = timedelta(minutes=10)
"""How long the agent of a runtime without a limit of its own may take to start."""


class _CatalogModel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RuntimeModel(_CatalogModel):
    """A model that agents of a runtime can use. A `name_only` model needs setup by the operator first."""

    id: str = Field(min_length=1, max_length=100)
    name_only: bool = False


class VariableNames(_CatalogModel):
    """An environment variable that may have any of several names."""

    any_of: tuple[str, ...] = Field(min_length=1)


class Runtime(_CatalogModel):
    """A kind of agent, as in `langgraph`."""

    name: str = Field(min_length=1, max_length=100)
    provision_limit: int = Field(default=int(DEFAULT_PROVISION_LIMIT.total_seconds()), gt=0)
    adapter_module: str = ""
    image: str = Field(default="", max_length=MAX_IMAGE_CHARS, pattern=IMAGE_PATTERN)
    models: tuple[RuntimeModel, ...] = ()
    required_env: tuple[str | VariableNames, ...] = ()
    speaks_anthropic: bool = False
    model_variables: tuple[str, ...] = ()
    provider_variable: str = ""

    @property
    def required(self) -> tuple[tuple[str, ...], ...]:
        """The environment variables that an instance needs, each as a tuple of its alternative names."""
        return tuple((item,) if isinstance(item, str) else item.any_of for item in self.required_env)


class Provider(_CatalogModel):
    """A provider of models."""

    name: str = Field(min_length=1, max_length=100)
    model_prefixes: tuple[str, ...] = Field(min_length=1)
    keys: tuple[str, ...] = Field(min_length=1)
    anthropic_url: str = ""


class _CatalogFile(_CatalogModel):
    runtimes: tuple[Runtime, ...]
    providers: tuple[Provider, ...] = ()

    @model_validator(mode="after")
    def _names_are_unique(self) -> "_CatalogFile":
        _check_unique("runtime", [runtime.name for runtime in self.runtimes])
        for runtime in self.runtimes:
            _check_unique(f"model of {runtime.name}", [model.id for model in runtime.models])
        _check_unique("provider", [provider.name for provider in self.providers])
        return self


class Catalog:
    """Looks up runtimes.

    `limit` overrides the provision limit of every runtime. `declared` are the limits in seconds that templates declare,
    by runtime, as they were when the service started. `adapters` and `commands` are the modules and the commands that
    they declare, by runtime; a runtime to which the catalogue gives an adapter keeps it. `images` are the images
    of templates; a runtime to which the catalogue gives an image keeps that, too.
    """

    def __init__(
        self,
        runtimes: Sequence[Runtime],
        *,
        providers: Sequence[Provider] = (),
        limit: timedelta | None = None,
        declared: Mapping[str, int] = MappingProxyType({}),
        adapters: Mapping[str, str] = MappingProxyType({}),
        commands: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
        images: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        own = {one.name: one.adapter_module for one in runtimes if one.adapter_module}
        self._adapters = dict(adapters) | own
        self._commands = {runtime: command for runtime, command in commands.items() if runtime not in own}
        self._images = dict(images) | {one.name: one.image for one in runtimes if one.image}
        self._runtimes = {runtime.name: runtime for runtime in runtimes}
        self.providers = tuple(providers)
        self._limit = limit
        self._declared = {runtime: timedelta(seconds=seconds) for runtime, seconds in declared.items()}

    def find_runtime(self, runtime: str) -> Runtime | None:
        """Return the runtime; `None` if it is unknown."""
        return self._runtimes.get(runtime)

    def has_runtime(self, runtime: str) -> bool:
        """Whether the catalogue contains the runtime."""
        return runtime in self._runtimes or self.is_startable(runtime, uses_images=True)

    def provision_limit(self, runtime: str) -> timedelta:
        """Return how long an agent may take to start: the override, else the template limit, else the runtime's own."""
        if self._limit is not None:
            return self._limit
        if runtime in self._declared:
            return self._declared[runtime]
        known = self._runtimes.get(runtime)
        return timedelta(seconds=known.provision_limit) if known else DEFAULT_PROVISION_LIMIT

    def declared_limit(self, runtime: str) -> timedelta | None:
        """Return the limit that the templates of the runtime declare; `None` if none does."""
        return self._declared.get(runtime)

    def adapter_module(self, runtime: str) -> str:
        """Return the Python module that an instance runs; empty if the runtime has none."""
        return self._adapters.get(runtime, "")

    def command(self, runtime: str) -> tuple[str, ...]:
        """Return the command that an instance runs; empty for that of the backend."""
        return self._commands.get(runtime, ())

    def image(self, runtime: str) -> str:
        """Return the image of its instances, for backends that run images; empty for that of the backend (PROV-15)."""
        return self._images.get(runtime, "")

    def is_startable(self, runtime: str, *, uses_images: bool) -> bool:
        """Whether there is an adapter or a command for the runtime, or an image and a backend that uses images."""
        has_command = runtime in self._adapters or runtime in self._commands
        return has_command or (uses_images and bool(self.image(runtime)))

    def startable_runtimes(self, *, uses_images: bool) -> tuple[str, ...]:
        """Return the runtimes that can be started, sorted; `uses_images` as in `is_startable`."""
        return tuple(sorted(name for name in self._list_names() if self.is_startable(name, uses_images=uses_images)))

    def _list_names(self) -> set[str]:
        return {*self._runtimes, *self._adapters, *self._commands}

    def models(self, runtime: str) -> tuple[str, ...]:
        """Return the ids of the models that are registered for a runtime."""
        known = self._runtimes.get(runtime)
        return tuple(model.id for model in known.models) if known else ()

    def default_model(self, runtime: str) -> str | None:
        """Return the first model that needs no setup; `None` if there is none."""
        known = self._runtimes.get(runtime)
        return next((model.id for model in known.models if not model.name_only), None) if known else None


def read_catalog(
    path: Path = CATALOG_PATH,
    *,
    limit: timedelta | None = None,
    declared: Mapping[str, int] = MappingProxyType({}),
    adapters: Mapping[str, str] = MappingProxyType({}),
    commands: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
    images: Mapping[str, str] = MappingProxyType({}),
) -> Catalog:
    """Parse the catalogue in a file; raises `InvalidSettings` with one line of text."""
    try:
        file = _CatalogFile.model_validate(_parse_yaml(path))
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise InvalidSettings(f"{path.name}: {_first_line(error)}") from None
    return Catalog(
        file.runtimes,
        providers=file.providers,
        limit=limit,
        declared=declared,
        adapters=adapters,
        commands=commands,
        images=images,
    )


def _parse_yaml(path: Path) -> Any:  # noqa: ANN401 - checked right after
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _check_unique(what: str, names: Sequence[str]) -> None:
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"{what} named twice: {', '.join(sorted(twice))}")


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        fault = error.errors()[0]
        return f"{'.'.join(str(step) for step in fault['loc'])}: {fault['msg']}".removeprefix(": ")
    return str(error).splitlines()[0]
