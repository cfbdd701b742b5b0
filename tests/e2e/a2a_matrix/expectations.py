"""What every cell of the matrix is to be: `python -m tests.e2e.a2a_matrix.expectations` writes it to docs/a2a.md."""

from pathlib import Path

from tests.e2e.a2a_matrix.agents import AGENTS, OFFERS, POLL
from tests.e2e.a2a_matrix.cells import ABSENT, ENDS_EARLY, OPERATIONS, RIGHT
from tests.e2e.a2a_matrix.clients import CLIENTS, Client

DOCUMENT = Path("docs/a2a.md")

BEGIN, END = "<!-- matrix -->\n", "<!-- end of matrix -->\n"

OLD_SDK = "SDK 0.3.26"

LEGACY_AGENTS = frozenset(name for name, (_, _, version) in OFFERS.items() if version == "0.3")

FORGETFUL_AGENTS = frozenset({OLD_SDK, "Go 2.4", "Go 2.4 HTTP+JSON", "Go 0.3.15"})

REASONS = {
    "-32001": "TASK_NOT_FOUND",
    "-32003": "PUSH_NOTIFICATION_NOT_SUPPORTED",
    "-32004": "UNSUPPORTED_OPERATION",
    "-32009": "VERSION_NOT_SUPPORTED",
}
"""The reasons by which HTTP+JSON tells the errors of JSON-RPC."""


def expect(client: type[Client], agent: str) -> dict[str, str]:
    """Return what is to come of each operation."""
    return {operation: _expect_cell(client, agent, operation) for operation in OPERATIONS}


def _expect_cell(client: type[Client], agent: str, operation: str) -> str:
    if operation not in client.operations:
        return ABSENT
    code = _find_refusal(agent, operation)
    if code is None:
        return RIGHT
    return REASONS.get(code, code) if client.name.startswith("HTTP+JSON") else code


def find_surprises(found: dict[str, str], agent: str, *, unnamed: str = "") -> dict[str, str]:
    """
    Return the cells of an official client that are not as they are to be.

    Such a client tells an error by its code or by its reason. `unnamed` is how it tells one that is later than its own
    version.
    """
    surprises = {}
    for operation, cell in found.items():
        code = _find_refusal(agent, operation) or RIGHT
        expected = unnamed if unnamed and code == "-32009" else code
        if cell not in {expected, REASONS.get(expected)}:
            surprises[operation] = cell
    return surprises


def _find_refusal(agent: str, operation: str) -> str | None:
    """Return the code with which an operation is refused for every client."""
    if agent == POLL:
        return "-32003" if operation.startswith("push") else "-32004" if operation == "card" else None
    if agent in LEGACY_AGENTS and operation == "list":
        return "-32004"  # 0.3 has no method for it
    if agent in FORGETFUL_AGENTS and operation == "subscribe":
        return "-32001"  # these servers forget whom they would tell as soon as a task waits for input
    if agent.startswith("JS 0.3.14") and operation == "subscribe":
        return ENDS_EARLY  # this server does the same, and ends the stream after the task
    if agent == "HTTP+JSON 0.3" and operation == "push delete":
        return "-32009"  # the official server of 0.3 refuses its clients alike
    return None


def render_table() -> str:
    """Return the table as Markdown."""
    lines = [f"| client | agent | {' | '.join(OPERATIONS)} |", "|" + "---|" * (2 + len(OPERATIONS))]
    for client in CLIENTS:
        for agent in AGENTS:
            cells = expect(client, agent)
            lines.append(f"| {client.name} | {agent} | {' | '.join(cells[name] for name in OPERATIONS)} |")
    return "\n".join(lines) + "\n"


def replace_table(text: str) -> str:
    """Return the document with the table as it is to be."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return head + BEGIN + render_table() + END + tail


if __name__ == "__main__":
    DOCUMENT.write_text(replace_table(DOCUMENT.read_text()))
