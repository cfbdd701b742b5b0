"""Agents of Python frameworks, as the frameworks serve them, in environments of their own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx

from tests.e2e.a2a_matrix.cells import Habits
from tests.e2e.sdk_clients.environments import serve_agent
from tests.e2e.sdk_clients.processes import START_SECONDS

PYDANTIC_AI = "Pydantic AI 2.68"

GOOGLE_ADK = "Google ADK 2.13"

MICROSOFT = "Microsoft Agent Framework 1.23"

FRAMEWORKS = {PYDANTIC_AI: "pydantic_ai", GOOGLE_ADK: "google_adk", MICROSOFT: "microsoft"}
"""The name of the program and of its requirements, for each framework."""

HABITS = {PYDANTIC_AI: Habits(ignores_cancel=True), MICROSOFT: Habits(holds_answer=True)}


@asynccontextmanager
async def serve_framework_agents() -> AsyncIterator[dict[str, dict[str, Any]]]:
    """Yield the cards of the agents by the names of their frameworks."""
    async with AsyncExitStack() as stack, httpx.AsyncClient(timeout=START_SECONDS) as http:
        programs = [serve_agent(program) for program in FRAMEWORKS.values()]
        urls = await asyncio.gather(*map(stack.enter_async_context, programs))
        answers = [await http.get(f"{url}.well-known/agent-card.json") for url in urls]
        yield {name: answer.raise_for_status().json() for name, answer in zip(FRAMEWORKS, answers, strict=True)}
