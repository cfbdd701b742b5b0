"""The adapter of the `claude` program: each message is a run, and each conversation a session of it."""

import codecs
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from molecule_agent.adapter import (
    BaseAdapter,
    CardFacts,
    RuntimeCapabilities,
    Skill,
    Turn,
    TurnFailed,
    TurnRejected,
    Workspace,
)
from molecule_agent.adapters.claude_stream import ClaudeStream
from molecule_agent.adapters.command import describe_turn
from molecule_agent.adapters.conversations import Conversations
from molecule_agent.adapters.instructions import read_instructions, read_model
from molecule_agent.adapters.options import Options
from molecule_agent.adapters.programs import Program, ProgramRun

log = logging.getLogger(__name__)

IDLE_TIMEOUT_SECONDS = 600
"""A run may be silent for more than eight minutes while it works with tools (AGT-03)."""

DEFAULT_SECONDS = 3600

MAX_SECONDS = 24 * 60 * 60

MAX_OUTPUT_BYTES = 256 * 1024 * 1024
"""The stream has every result of a tool, so it is much longer than the answer."""

MAX_LINE_CHARACTERS = 32 * 1024 * 1024

ARGUMENTS = ("-p", "--output-format", "stream-json", "--verbose", "--include-partial-messages")


class Session:
    """The session of one conversation; its id is empty before the first run."""

    def __init__(self) -> None:
        self.id = ""


class Adapter(BaseAdapter):
    """Runs `claude` once for each message, in the directory of the workspace."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        options = Options(workspace.environment)
        self._program = options.read_text("MOLECULE_CLAUDE_PROGRAM", "claude")
        self._more = options.read_words("MOLECULE_CLAUDE_ARGUMENTS")
        self._seconds = options.read_number("MOLECULE_CLAUDE_SECONDS", DEFAULT_SECONDS, maximum=MAX_SECONDS)
        self._model = read_model(workspace) if workspace.model else ""
        self._instructions = read_instructions(workspace)
        self._sessions: Conversations[Session] = Conversations(Session)

    def card(self) -> CardFacts:
        return CardFacts(
            name="Claude Code",
            description="Works on files and programs with Claude Code.",
            skills=[Skill(id="code", name="Code", description="Reads, writes and runs code.", tags=["code"])],
        )

    def capabilities(self) -> RuntimeCapabilities:
        """The adapter lets a message wait for the turn before it, so the plane need not queue it."""
        return RuntimeCapabilities(provides_native_session=True, idempotent_delivery=True)

    def idle_timeout_override(self) -> int:
        return IDLE_TIMEOUT_SECONDS

    def may_run_again(self) -> bool:
        """An interrupted run may have changed files already."""
        return False

    async def answer(self, turn: Turn) -> AsyncIterator[str]:
        if not turn.text.strip():
            raise TurnRejected("The message has no text.")
        async with self._sessions.use(turn.context_id) as session:
            stream = ClaudeStream()
            run = ProgramRun(
                Program(
                    arguments=self._build_arguments(session.id),
                    directory=self.workspace.root / "workspace",
                    environment={**self.workspace.environment, **describe_turn(turn)},
                    max_seconds=self._seconds,
                    max_output_bytes=MAX_OUTPUT_BYTES,
                ),
                turn.text.encode(),
            )
            async with aclosing(_read_lines(run)) as lines:
                async for line in lines:
                    if piece := stream.feed(line):
                        yield piece
            _require_success(stream, run.exit_code)
            session.id = stream.session_id

    def _build_arguments(self, session_id: str) -> list[str]:
        arguments = [self._program, *ARGUMENTS]
        if self._model:
            arguments += ["--model", self._model]
        if self._instructions:
            arguments += ["--append-system-prompt", self._instructions]
        if session_id:
            arguments += ["--resume", session_id]
        return [*arguments, *self._more]


def _require_success(stream: ClaudeStream, exit_code: int) -> None:
    """Raise TurnFailed unless the run has ended with a result that is no error."""
    if stream.failure:
        raise TurnFailed(f"Claude Code ended with {stream.failure}.")
    if exit_code or not stream.has_ended:
        log.warning("claude ended with exit code %d, result %s", exit_code, stream.has_ended)
        raise TurnFailed(f"Claude Code ended with exit code {exit_code} before it had answered.")


async def _read_lines(run: ProgramRun) -> AsyncGenerator[str, None]:
    """Yield the lines of the output; raises TurnFailed for a line that is too long."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    pending: list[str] = []
    length = 0
    async with aclosing(run.read()) as pieces:
        async for piece in pieces:
            *whole, rest = decoder.decode(piece).split("\n")
            if whole:
                yield "".join([*pending, whole[0]])
                for line in whole[1:]:
                    yield line
                pending, length = [], 0
            pending.append(rest)
            length += len(rest)
            if length > MAX_LINE_CHARACTERS:
                raise TurnFailed("Claude Code printed a line that is too long.")
    if length:
        yield "".join(pending)
