"""Offers the tools of agents as an MCP server over stdio: `python -m molecule_agent.mcp`."""

import asyncio
import logging
import sys

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

from molecule_agent.credentials import Credentials
from molecule_agent.plane_client import PlaneClient
from molecule_agent.settings import Settings, SettingsError
from molecule_agent.tools.errors import ToolError
from molecule_agent.tools.registry import Tool, build_tools
from molecule_agent.tools.workspace_tools import WorkspaceTools
from molecule_agent.turn_context import TurnContext, use_context

NAME = "molecule"


def main() -> int:
    """Serve on stdin and stdout until stdin ends; return the exit status. The environment is that of the agent."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    try:
        settings = Settings.from_environment()
    except SettingsError as error:
        sys.stderr.write(f"molecule_agent.mcp: {error}\n")
        return 1
    asyncio.run(serve(settings))
    return 0


async def serve(settings: Settings) -> None:
    """Serve the tools of the workspace until stdin ends."""
    async with PlaneClient(settings.platform_url, Credentials(settings.root)) as plane:
        server = build_server(build_tools(WorkspaceTools(plane, settings.workspace_id)), settings.lineage_token)
        async with stdio_server() as (received, sent):
            await server.run(received, sent, server.create_initialization_options())


def build_server(tools: tuple[Tool, ...], lineage_token: str | None) -> Server:
    """Build a server for these tools, whose delegations belong to the work that `lineage_token` names."""
    by_name = {tool.name: tool for tool in tools}

    async def list_tools(
        context: ServerRequestContext, parameters: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        del context, parameters
        return types.ListToolsResult(
            tools=[
                types.Tool(name=tool.name, description=tool.description, input_schema=tool.input_schema)
                for tool in tools
            ]
        )

    async def call_tool(context: ServerRequestContext, parameters: types.CallToolRequestParams) -> types.CallToolResult:
        del context
        tool = by_name.get(parameters.name)
        if tool is None:
            return _render(f"there is no tool {parameters.name!r}", is_error=True)
        try:
            with use_context(TurnContext(lineage_token=lineage_token)):
                return _render(await tool.call(parameters.arguments or {}))
        except ToolError as error:
            return _render(str(error), is_error=True)

    return Server(NAME, on_list_tools=list_tools, on_call_tool=call_tool)


def _render(text: str, *, is_error: bool = False) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(type="text", text=text)], is_error=is_error)


if __name__ == "__main__":
    sys.exit(main())
