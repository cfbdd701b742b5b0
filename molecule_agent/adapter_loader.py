"""Finds the adapter that ADAPTER_MODULE names, and creates it."""

import importlib
import importlib.metadata
from types import ModuleType

from molecule_agent.adapter import AdapterError, BaseAdapter, Workspace

ENTRY_POINT_GROUP = "molecule_agent.adapters"
"""The group of entry points by which another distribution offers its adapters: a name for a module."""

BUILT_IN = {
    "echo": "molecule_agent.echo",
    "command": "molecule_agent.adapters.command",
    "claude-code": "molecule_agent.adapters.claude_code",
    "anthropic": "molecule_agent.adapters.anthropic_models",
    "openai": "molecule_agent.adapters.openai_models",
    "langgraph": "molecule_agent.adapters.langgraph_graphs",
    "a2a": "molecule_agent.adapters.a2a_agents",
}
"""The adapters of this package by name. They are no entry points: a search for those takes longer than the import."""


def load_adapter(name: str, workspace: Workspace) -> BaseAdapter:
    """
    Create the `Adapter` of a module for `workspace`.

    `name` is that of an adapter of this package, of an entry point, or of a module, in this order; only modules have
    names with a dot. `claude_code` names the same adapter as `claude-code`: templates allow no hyphen there. Raises
    AdapterError.
    """
    try:
        adapter = _import_module(name).Adapter(workspace)
    except AdapterError as error:
        raise AdapterError(f"ADAPTER_MODULE {name}: {error}") from error
    except Exception as error:
        raise AdapterError(f"ADAPTER_MODULE {name}: {type(error).__name__}: {error}") from error
    if not isinstance(adapter, BaseAdapter):
        raise AdapterError(f"ADAPTER_MODULE {name}: Adapter is not derived from molecule_agent.adapter.BaseAdapter")
    return adapter


def _import_module(name: str) -> ModuleType:
    if built_in := BUILT_IN.get(name.replace("_", "-")):
        return importlib.import_module(built_in)
    if "." not in name:
        for entry_point in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP, name=name):
            return importlib.import_module(entry_point.module)
    return importlib.import_module(name)
