"""The runtimes, their models and limits, and who serves models: `catalog.yaml`, checked when the service starts."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from services.chassis.settings import InvalidSettings

CATALOG_PATH = Path(__file__).parent / "catalog.yaml"
"""The catalogue that comes with the service."""

DEFAULT_PROVISION_LIMIT = timedelta(minutes=10)
"""How long an agent may take to come up where its runtime does not say."""


class _CatalogModel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RuntimeModel(_CatalogModel):
    """A model that agents of a runtime can use; a `name_only` one only after somebody set it up."""

    id: str = Field(min_length=1, max_length=100)
    name_only: bool = False


class VariableNames(_CatalogModel):
    """A variable that goes by several names."""

    any_of: tuple[str, ...] = Field(min_length=1)


class Runtime(_CatalogModel):
    """A kind of agent."""

    name: str = Field(min_length=1, max_length=100)
    provision_limit: int = Field(default=int(DEFAULT_PROVISION_LIMIT.total_seconds()), gt=0)
    adapter_module: str = ""
    models: tuple[RuntimeModel, ...] = ()
    required_env: tuple[str | VariableNames, ...] = ()
    speaks_anthropic: bool = False
    model_variables: tuple[str, ...] = ()
    provider_variable: str = ""

    @property
    def required(self) -> tuple[tuple[str, ...], ...]:
        """The variables without which an instance is not started, each by all its names."""
        return tuple((item,) if isinstance(item, str) else item.any_of for item in self.required_env)


class Provider(_CatalogModel):
    """Somebody who serves models."""

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
    """What is known of runtimes.

    `limit`, where given, is the provision limit of all of them; `declared` are limits in seconds by runtime that
    templates declare, as they were when the service started.
    """

    def __init__(
        self,
        runtimes: Sequence[Runtime],
        *,
        providers: Sequence[Provider] = (),
        limit: timedelta | None = None,
        declared: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        self._runtimes = {runtime.name: runtime for runtime in runtimes}
        self.providers = tuple(providers)
        self._limit = limit
        self._declared = {runtime: timedelta(seconds=seconds) for runtime, seconds in declared.items()}

    def find(self, runtime: str) -> Runtime | None:
        """All that is known of a runtime."""
        return self._runtimes.get(runtime)

    def has_runtime(self, runtime: str) -> bool:
        """Whether there is such a runtime."""
        return runtime in self._runtimes

    def provision_limit(self, runtime: str) -> timedelta:
        """How long an agent may take to come up."""
        if self._limit is not None:
            return self._limit
        if runtime in self._declared:
            return self._declared[runtime]
        known = self._runtimes.get(runtime)
        return timedelta(seconds=known.provision_limit) if known else DEFAULT_PROVISION_LIMIT

    def declared_limit(self, runtime: str) -> timedelta | None:
        """The limit that a template of the runtime declares; `None` where none does."""
        return self._declared.get(runtime)

    def adapter_module(self, runtime: str) -> str:
        """The module that an instance runs; empty where there is none."""
        known = self._runtimes.get(runtime)
        return known.adapter_module if known else ""

    def models(self, runtime: str) -> tuple[str, ...]:
        """The models registered for a runtime."""
        known = self._runtimes.get(runtime)
        return tuple(model.id for model in known.models) if known else ()

    def default_model(self, runtime: str) -> str | None:
        """The first model that works without further ado; `None` where there is none."""
        known = self._runtimes.get(runtime)
        return next((model.id for model in known.models if not model.name_only), None) if known else None


def read_catalog(
    path: Path = CATALOG_PATH, *, limit: timedelta | None = None, declared: Mapping[str, int] = MappingProxyType({})
) -> Catalog:
    """The catalogue in a file; raises `InvalidSettings` with one line where it is not one."""
    try:
        page = _CatalogFile.model_validate(_parse_yaml(path))
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise InvalidSettings(f"{path.name}: {_first_line(error)}") from None
    return Catalog(page.runtimes, providers=page.providers, limit=limit, declared=declared)


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
