"""The adapter of models with the Chat Completions API of OpenAI, or of another provider that serves it."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from openai import APIConnectionError, APIError, AsyncOpenAI, omit

from molecule_agent.adapter import (
    BaseAdapter,
    CardFacts,
    RuntimeState,
    Skill,
    Turn,
    TurnFailed,
    TurnRejected,
    Workspace,
)
from molecule_agent.adapters.chat_chunks import ChatAnswer
from molecule_agent.adapters.conversations import Conversations, History
from molecule_agent.adapters.instructions import read_instructions, read_model
from molecule_agent.adapters.model_errors import BROKEN_TEXT, ProviderHealth
from molecule_agent.adapters.model_limits import DEFAULT_ROUNDS, MAX_ANSWER_TOKENS, MAX_RETRIES, MAX_ROUNDS
from molecule_agent.adapters.model_tools import ToolCall, run_calls
from molecule_agent.adapters.options import Options


class Adapter(BaseAdapter):
    """Answers with a model, which may use the tools of the workspace. Conversations are kept in memory."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        options = Options(workspace.environment)
        self._model = read_model(workspace)
        instructions = read_instructions(workspace)
        self._beginning = [{"role": "system", "content": instructions}] if instructions else []
        self._max_tokens = (
            options.read_number("MODEL_MAX_TOKENS", 1, maximum=MAX_ANSWER_TOKENS)
            if options.read_text("MODEL_MAX_TOKENS")
            else omit
        )
        self._max_rounds = options.read_number("MODEL_MAX_ROUNDS", DEFAULT_ROUNDS, maximum=MAX_ROUNDS)
        self._client = AsyncOpenAI(
            api_key=options.require_text("OPENAI_API_KEY"),
            base_url=options.read_text("OPENAI_BASE_URL") or None,
            max_retries=options.read_number("MODEL_MAX_RETRIES", MAX_RETRIES, maximum=100),
        )
        self._tools: Any = [
            {
                "type": "function",
                "function": {"name": tool.name, "description": tool.description, "parameters": tool.input_schema},
            }
            for tool in workspace.model_tools
        ]
        self._conversations: Conversations[History] = Conversations(History)
        self._health = ProviderHealth(APIError, APIConnectionError)

    def card(self) -> CardFacts:
        return CardFacts(
            name="Assistant",
            description=f"Answers with the model {self._model}.",
            skills=[Skill(id="chat", name="Chat", description="Answers questions and does tasks.", tags=["chat"])],
        )

    def may_run_again(self) -> bool:
        """Text does no harm twice, but tools may."""
        return not self.workspace.model_tools

    def runtime_state(self) -> RuntimeState:
        return self._health.state

    async def close(self) -> None:
        await self._client.close()

    async def answer(self, turn: Turn) -> AsyncIterator[str]:
        if not turn.text.strip():
            raise TurnRejected("The message has no text.")
        async with self._conversations.use(turn.context_id) as history:
            messages: list[Any] = [{"role": "user", "content": turn.text}]
            has_text = False
            for _ in range(self._max_rounds):
                answer = ChatAnswer()
                request = [*self._beginning, *history.messages, *messages]
                async with aclosing(self._stream_round(request, answer)) as pieces:
                    is_first = True
                    async for piece in pieces:
                        yield f"\n\n{piece}" if is_first and has_text else piece
                        is_first, has_text = False, True
                messages.append(answer.render())
                if not answer.calls:
                    history.add_turn(messages)
                    return
                messages += await self._run_tools(answer)
            raise TurnFailed(f"The model asked for more than {self._max_rounds} rounds of tools.")

    async def _stream_round(self, messages: list[Any], answer: ChatAnswer) -> AsyncGenerator[str, None]:
        """Yield the text of one request to the model as it comes, and add everything to `answer`."""
        with self._health.watch():
            async with await self._client.chat.completions.create(
                model=self._model,
                messages=messages,
                tools=self._tools or omit,
                max_completion_tokens=self._max_tokens,
                stream=True,
            ) as chunks:
                async for chunk in chunks:
                    for choice in chunk.choices[:1]:
                        if text := answer.add_delta(choice.delta.model_dump(), choice.finish_reason):
                            yield text
        match answer.finish_reason:
            case "":
                raise TurnFailed(BROKEN_TEXT)
            case "length":
                raise TurnFailed("The answer of the model was longer than it may be.")
            case "content_filter":
                raise TurnRejected("The model refused to answer.")

    async def _run_tools(self, answer: ChatAnswer) -> list[Any]:
        """Return the results of the tools that the model calls, in the form of the Chat Completions API."""
        calls = [
            ToolCall(id=call.id, name=call.name, arguments=call.arguments or "{}") for call in answer.calls.values()
        ]
        return [
            {"role": "tool", "tool_call_id": done.call_id, "content": done.text}
            for done in await run_calls(self.workspace.model_tools, calls)
        ]
