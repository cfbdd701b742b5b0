"""The tools for models, built at their first use: an agent without a model saves the memory of their schemas."""

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, overload

if TYPE_CHECKING:
    from molecule_agent.tools.registry import Tool
    from molecule_agent.tools.workspace_tools import WorkspaceTools


class LateTools(Sequence["Tool"]):
    """The tools of a workspace, in the order of the registry."""

    def __init__(self, functions: "WorkspaceTools") -> None:
        self._functions = functions

    @overload
    def __getitem__(self, index: int) -> "Tool": ...

    @overload
    def __getitem__(self, index: slice) -> Sequence["Tool"]: ...

    def __getitem__(self, index: int | slice) -> "Tool | Sequence[Tool]":
        return self._tools[index]

    def __len__(self) -> int:
        return len(self._tools)

    @cached_property
    def _tools(self) -> "tuple[Tool, ...]":
        from molecule_agent.tools.registry import build_tools

        return build_tools(self._functions)
