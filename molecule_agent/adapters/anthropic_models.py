"""The adapter of models with the Messages API of Anthropic, or of another provider that serves it."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from anthropic import APIConnectionError, APIError, AsyncAnthropic, omit
from anthropic.types import Message

from molecule_agent.adapter import (
    AdapterError,
    BaseAdapter,
    CardFacts,
    RuntimeState,
    Skill,
    Turn,
    TurnFailed,
    TurnRejected,
    Workspace,
)
from molecule_agent.adapters.conversations import Conversations, History
from molecule_agent.adapters.instructions import read_instructions, read_model
from molecule_agent.adapters.model_errors import BROKEN_TEXT, ProviderHealth
from molecule_agent.adapters.model_limits import DEFAULT_ROUNDS, MAX_ANSWER_TOKENS, MAX_RETRIES, MAX_ROUNDS
from molecule_agent.adapters.model_tools import ToolCall, run_calls
from molecule_agent.adapters.options import Options

DEFAULT_ANSWER_TOKENS = 8192


class Adapter(BaseAdapter):
    """Answers with a model, which may use the tools of the workspace. Conversations are kept in memory."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        options = Options(workspace.environment)
        key, token = options.read_text("ANTHROPIC_API_KEY"), options.read_text("ANTHROPIC_AUTH_TOKEN")
        if not key and not token:
            raise AdapterError("ANTHROPIC_API_KEY or ANTHROPIC_AUTH_TOKEN is required")
        self._model = read_model(workspace)
        self._instructions = read_instructions(workspace)
        self._max_tokens = options.read_number("MODEL_MAX_TOKENS", DEFAULT_ANSWER_TOKENS, maximum=MAX_ANSWER_TOKENS)
        self._max_rounds = options.read_number("MODEL_MAX_ROUNDS", DEFAULT_ROUNDS, maximum=MAX_ROUNDS)
        self._client = AsyncAnthropic(
            api_key=key or None,
            auth_token=token or None,
            base_url=options.read_text("ANTHROPIC_BASE_URL") or None,
            max_retries=options.read_number("MODEL_MAX_RETRIES", MAX_RETRIES, maximum=100),
        )
        self._conversations: Conversations[History] = Conversations(History)
        self._health = ProviderHealth(APIError, APIConnectionError)

    def card(self) -> CardFacts:
        return CardFacts(
            name="Claude",
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
                answers: list[Message] = []
                async with aclosing(self._stream_round([*history.messages, *messages], answers)) as pieces:
                    is_first = True
                    async for piece in pieces:
                        yield f"\n\n{piece}" if is_first and has_text else piece
                        is_first, has_text = False, True
                messages.append({"role": "assistant", "content": _render_content(answers[0])})
                if answers[0].stop_reason not in {"tool_use", "pause_turn"}:
                    history.add_turn(messages)
                    return
                if results := await self._run_tools(answers[0]):
                    messages.append({"role": "user", "content": results})
            raise TurnFailed(f"The model asked for more than {self._max_rounds} rounds of tools.")

    async def _stream_round(self, messages: list[Any], answers: list[Message]) -> AsyncGenerator[str, None]:
        """Yield the text of one request to the model as it comes, and append the whole answer to `answers`."""
        with self._health.watch():
            async with self._client.messages.stream(
                model=self._model,
                max_tokens=self._max_tokens,
                messages=messages,
                system=self._instructions or omit,
                tools=[
                    {"name": tool.name, "description": tool.description, "input_schema": tool.input_schema}
                    for tool in self.workspace.model_tools
                ]
                or omit,
            ) as stream:
                async for text in stream.text_stream:
                    yield text
                snapshot = stream.current_message_snapshot
        match snapshot.stop_reason:
            case None:
                raise TurnFailed(BROKEN_TEXT)
            case "max_tokens" | "model_context_window_exceeded":
                raise TurnFailed("The answer of the model was longer than it may be.")
            case "refusal":
                raise TurnRejected("The model refused to answer.")
            case _:
                answers.append(snapshot)

    async def _run_tools(self, answer: Message) -> list[Any]:
        """Return the results of the tools that the model calls, in the form of the Messages API."""
        calls = [
            ToolCall(id=block.id, name=block.name, arguments=block.input)
            for block in answer.content
            if block.type == "tool_use"
        ]
        return [
            {"type": "tool_result", "tool_use_id": done.call_id, "content": done.text, "is_error": done.is_error}
            for done in await run_calls(self.workspace.model_tools, calls)
        ]


def _render_content(answer: Message) -> list[Any]:
    """Return the blocks of an answer as a later request repeats them, without members that only answers have."""
    blocks = [
        block.model_dump(mode="json", exclude_none=True, exclude={"parsed_output"}, warnings=False)
        for block in answer.content
    ]
    # The API refuses a request that repeats arguments which are no object.
    return [block if isinstance(block.get("input", {}), dict) else block | {"input": {}} for block in blocks]
