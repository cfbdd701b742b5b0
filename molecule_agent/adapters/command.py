"""The adapter of any program: the message is its input or an argument, and its output is the answer."""

import codecs
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing

from molecule_agent.adapter import (
    AdapterError,
    BaseAdapter,
    CardFacts,
    InputRequired,
    Skill,
    Turn,
    TurnError,
    TurnFailed,
    TurnRejected,
    Workspace,
)
from molecule_agent.adapters.options import Options
from molecule_agent.adapters.programs import Program, ProgramRun

PLACEHOLDER = "{prompt}"
"""What the message replaces in the arguments; without it the message is the last argument."""

DEFAULT_SECONDS = 600

MAX_SECONDS = 24 * 60 * 60

DEFAULT_OUTPUT_BYTES = 4 * 1024 * 1024

MAX_OUTPUT_BYTES = 32 * 1024 * 1024

MAX_ARGUMENT_BYTES = 128 * 1024 - 1
"""Linux passes no longer argument."""

ENDS: Mapping[str, type[TurnError]] = {
    "failed": TurnFailed,
    "rejected": TurnRejected,
    "input-required": InputRequired,
}

TEXTS: Mapping[type[TurnError], str] = {
    TurnFailed: "The program of this agent ended with exit code {code}.",
    TurnRejected: "The program of this agent rejected the message.",
    InputRequired: "The program of this agent needs an answer to go on.",
}


class Adapter(BaseAdapter):
    """Runs the program of MOLECULE_COMMAND once for each message."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        options = Options(workspace.environment)
        self._words = options.read_words("MOLECULE_COMMAND")
        if not self._words:
            raise AdapterError("MOLECULE_COMMAND is required: the program and its arguments")
        self._is_argument = options.read_choice("MOLECULE_COMMAND_PROMPT", "stdin", "argument") == "argument"
        self._seconds = options.read_number("MOLECULE_COMMAND_SECONDS", DEFAULT_SECONDS, maximum=MAX_SECONDS)
        self._output_bytes = options.read_number(
            "MOLECULE_COMMAND_MAX_OUTPUT_BYTES", DEFAULT_OUTPUT_BYTES, maximum=MAX_OUTPUT_BYTES
        )
        self._ends = parse_exit_codes(options.read_text("MOLECULE_COMMAND_EXIT_CODES"))

    def card(self) -> CardFacts:
        return CardFacts(
            name="Command",
            description="Answers with the output of a program.",
            skills=[Skill(id="run", name="Run", description="Runs a program on a message.", tags=["command"])],
        )

    def may_run_again(self) -> bool:
        """A program may have acted on the world already."""
        return False

    async def answer(self, turn: Turn) -> AsyncIterator[str]:
        run = ProgramRun(
            Program(
                arguments=self._build_arguments(turn.text),
                directory=self.workspace.root / "workspace",
                environment={**self.workspace.environment, **describe_turn(turn)},
                max_seconds=self._seconds,
                max_output_bytes=self._output_bytes,
            ),
            b"" if self._is_argument else turn.text.encode(),
        )
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        async with aclosing(run.read()) as pieces:
            async for piece in pieces:
                yield decoder.decode(piece)
        yield decoder.decode(b"", final=True)
        if run.exit_code:
            end = self._ends.get(run.exit_code, TurnFailed)
            raise end(TEXTS[end].format(code=run.exit_code))

    def _build_arguments(self, text: str) -> list[str]:
        """Raises TurnRejected for a text that cannot be an argument."""
        if not self._is_argument:
            return self._words
        if len(text.encode()) > MAX_ARGUMENT_BYTES or "\0" in text:
            raise TurnRejected("The message is too long for this agent, or contains a null character.")
        program, *rest = self._words
        if not any(PLACEHOLDER in word for word in rest):
            return [program, *rest, text]
        return [program, *(word.replace(PLACEHOLDER, text) for word in rest)]


def describe_turn(turn: Turn) -> dict[str, str]:
    """Return the variables that tell a program which message it answers."""
    return {
        "MESSAGE_ID": turn.message_id.replace("\0", ""),
        "CONTEXT_ID": turn.context_id.replace("\0", ""),
        "TASK_ID": turn.task_id,
    }


def parse_exit_codes(text: str) -> dict[int, type[TurnError]]:
    """Parse pairs such as `2=rejected,3=input-required`; raises AdapterError. Other codes than 0 mean failed."""
    ends: dict[int, type[TurnError]] = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        code, _, end = pair.partition("=")
        if not (code.isascii() and code.isdigit() and 0 < int(code) < 256) or end not in ENDS:  # noqa: PLR2004
            raise AdapterError(
                f"MOLECULE_COMMAND_EXIT_CODES must be pairs of 1 to 255 and {', '.join(ENDS)} (got {pair!r})"
            )
        ends[int(code)] = ENDS[end]
    return ends
