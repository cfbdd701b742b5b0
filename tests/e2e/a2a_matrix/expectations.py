"""What every cell of the matrix is to be: `python -m tests.e2e.a2a_matrix.expectations` writes it to docs/a2a.md."""

from dataclasses import dataclass
from pathlib import Path

from tests.e2e.a2a_matrix.agents import AGENTS, OFFERS, POLL
from tests.e2e.a2a_matrix.cells import ABSENT, ENDS_EARLY, OPERATIONS, RIGHT
from tests.e2e.a2a_matrix.clients import HTTP_CLIENTS, Client
from tests.e2e.a2a_matrix.framework_agents import GOOGLE_ADK, MICROSOFT, PYDANTIC_AI
from tests.e2e.a2a_matrix.grpc_client import GrpcClient

CLIENTS = (*HTTP_CLIENTS, GrpcClient)

DOCUMENT = Path("docs/a2a.md")

BEGIN, END = "<!-- matrix -->\n", "<!-- end of matrix -->\n"

OLD_SDK = "SDK 0.3.26"

LEGACY_AGENTS = frozenset(name for name, (_, _, version) in OFFERS.items() if version == "0.3")

PUSH = ("push set", "push get", "push list", "push delete")

REASONS = {
    "-32001": "TASK_NOT_FOUND",
    "-32003": "PUSH_NOTIFICATION_NOT_SUPPORTED",
    "-32004": "UNSUPPORTED_OPERATION",
    "-32009": "VERSION_NOT_SUPPORTED",
}
"""The reasons by which HTTP+JSON and gRPC tell the errors of JSON-RPC."""

CRASH = "HTTP 500"
"""The agent answers with this status instead of an error of A2A; gRPC has the code INTERNAL for it."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """
    Operations that agents refuse every client, alone as through the plane.

    `code` is that of JSON-RPC, or says in words what goes wrong; `reason` is for the reader.
    """

    agents: frozenset[str]
    operations: tuple[str, ...]
    code: str
    reason: str
    alone: str = ""
    """The code of the agent alone, if it is another one."""


REFUSALS = (
    Refusal(LEGACY_AGENTS, ("list",), "-32004", "0.3 has no method for it."),
    Refusal(
        frozenset({OLD_SDK, "Go 2.4", "Go 2.4 HTTP+JSON", "Go 0.3.15"}),
        ("subscribe",),
        "-32001",
        "The server forgets the subscribers of a task as soon as the task waits for input.",
    ),
    Refusal(
        frozenset({"JS 0.3.14", "JS 0.3.14 HTTP+JSON"}),
        ("subscribe",),
        ENDS_EARLY,
        "The server does the same: the stream has the task as its only event.",
    ),
    Refusal(
        frozenset({"HTTP+JSON 0.3"}),
        ("push delete",),
        "-32009",
        "The server of 0.3 in the official SDK does not serve it.",
    ),
    Refusal(frozenset({PYDANTIC_AI}), ("list",), "-32004", "FastA2A, which serves the agent, has no list of tasks."),
    Refusal(
        frozenset({PYDANTIC_AI}),
        ("card",),
        CRASH,
        "FastA2A does not know this method of 1.0 and fails when it reads it.",
    ),
    Refusal(
        frozenset({PYDANTIC_AI}),
        PUSH,
        "-32003",
        "FastA2A writes a card without push notifications, so the plane refuses configs. Alone it answers HTTP 500.",
        alone=CRASH,
    ),
    Refusal(
        frozenset({GOOGLE_ADK, MICROSOFT}), PUSH, "-32003", "The framework writes a card without push notifications."
    ),
    Refusal(frozenset({GOOGLE_ADK, MICROSOFT}), ("card",), "-32004", "The framework has no extended card."),
    Refusal(frozenset({POLL}), PUSH, "-32003", "The plane answers for this agent and sends no notifications for it."),
    Refusal(frozenset({POLL}), ("card",), "-32004", "The plane cannot ask this agent for an extended card."),
)


def expect(client: type[Client], agent: str, *, alone: bool = False) -> dict[str, str]:
    """Return what is to come of each operation, through the plane or from the agent alone."""
    return {operation: _expect_cell(client, agent, operation, alone=alone) for operation in OPERATIONS}


def _expect_cell(client: type[Client], agent: str, operation: str, *, alone: bool) -> str:
    if operation not in client.operations:
        return ABSENT
    rule = _find_rule(agent, operation)
    code = None if rule is None else (rule.alone if alone and rule.alone else rule.code)
    if code is None:
        return RIGHT
    if code == CRASH and client is GrpcClient:
        return "INTERNAL"
    return code if client.name.startswith("JSON-RPC") else REASONS.get(code, code)


def find_refusal(agent: str, operation: str) -> str | None:
    """Return the code with which an operation is refused for every client."""
    rule = _find_rule(agent, operation)
    return None if rule is None else rule.code


def _find_rule(agent: str, operation: str) -> Refusal | None:
    return next((one for one in REFUSALS if agent in one.agents and operation in one.operations), None)


def render_table() -> str:
    """Return the tables of agents, of clients and of codes as Markdown."""
    return f"{_render_agents()}\n{_render_notes()}\n{_render_clients()}\n{_render_codes()}"


def _render_agents() -> str:
    rows = [[agent, *(_render_cell(agent, operation) for operation in OPERATIONS)] for agent in AGENTS]
    return _render_rows(["agent", *OPERATIONS], rows)


def _render_cell(agent: str, operation: str) -> str:
    rule = _find_rule(agent, operation)
    return RIGHT if rule is None else f"{rule.code} ({_number(rule)})"


def _render_notes() -> str:
    return "".join(f"{_number(refusal)}. {refusal.reason}\n" for refusal in REFUSALS)


def _number(refusal: Refusal) -> int:
    return 1 + REFUSALS.index(refusal)


def _render_clients() -> str:
    rows = [
        [client.name, ", ".join(one for one in OPERATIONS if one not in client.operations) or "nothing"]
        for client in CLIENTS
    ]
    return _render_rows(["client", "its version lacks"], rows)


def _render_codes() -> str:
    rows = [[code, reason] for code, reason in REASONS.items()]
    return _render_rows(["in JSON-RPC", "in HTTP+JSON and gRPC"], [*rows, [CRASH, f"{CRASH}; INTERNAL in gRPC"]])


def _render_rows(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def replace_table(text: str) -> str:
    """Return the document with the tables as they are to be."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return head + BEGIN + render_table() + END + tail


if __name__ == "__main__":
    DOCUMENT.write_text(replace_table(DOCUMENT.read_text()))
