"""
The official clients, and where what they make of the agents differs from the table of the matrix.

`python -m tests.e2e.a2a_matrix.official_clients` writes it to docs/a2a.md.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.a2a_matrix.agents import AGENTS, OFFERS, POLL
from tests.e2e.a2a_matrix.cells import OPERATIONS, RIGHT
from tests.e2e.a2a_matrix.expectations import PUSH, REASONS, find_refusal
from tests.e2e.a2a_matrix.framework_agents import GOOGLE_ADK, MICROSOFT, PYDANTIC_AI
from tests.e2e.sdk_clients.processes import Cells

JSON_RPC, REST, GRPC = "JSONRPC", "HTTP+JSON", "GRPC"

EVERY_AGENT: frozenset[str] = frozenset()
"""Stands for all agents."""

WITHOUT_CARD = frozenset({PYDANTIC_AI, GOOGLE_ADK, MICROSOFT, POLL})
"""The agents without an extended card."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Cells that an official client makes something else of than the table says, with and without the plane."""

    bindings: tuple[str, ...] = (JSON_RPC, REST, GRPC)
    agents: frozenset[str] = EVERY_AGENT
    operations: tuple[str, ...] = OPERATIONS
    cell: str
    """A regular expression for the whole cell of the client's program."""
    reason: str
    """For the reader of the document."""

    def covers(self, binding: str, agent: str, operation: str) -> bool:
        is_agent = self.agents is EVERY_AGENT or agent in self.agents
        return binding in self.bindings and is_agent and operation in self.operations


@dataclass(frozen=True, slots=True)
class OfficialClient:
    """The client of an official SDK that tries every operation with every agent."""

    name: str
    protocol: str
    bindings: tuple[str, ...]
    differences: tuple[Difference, ...] = ()
    agents: tuple[str, ...] = AGENTS
    """The agents that it tries."""
    lacks: tuple[str, ...] = ()
    """The operations that it has not, beside those that its version of A2A has not."""

    @property
    def operations(self) -> tuple[str, ...]:
        """The operations that it has."""
        lacks = {*self.lacks, "list"} if self.protocol == "0.3" else self.lacks
        return tuple(name for name in OPERATIONS if name not in lacks)

    def find_surprises(self, binding: str, found: Cells) -> list[str]:
        """Return which cells are not as they are to be, and which differences no cell shows."""
        surprises, seen = [], set()
        for agent, cells in found.items():
            if cells.keys() != set(self.operations):
                surprises.append(f"{agent}: tried {sorted(cells)}")
            for operation, cell in cells.items():
                code = find_refusal(agent, operation) or RIGHT
                if cell in {code, REASONS.get(code)}:
                    continue
                for difference in self.differences:
                    if difference.covers(binding, agent, operation) and re.fullmatch(difference.cell, cell):
                        seen.add(difference.reason)
                        break
                else:
                    surprises.append(f"{agent}, {operation}: {cell}")
        unseen = {one.reason for one in self.differences if binding in one.bindings} - seen
        return [*surprises, *(f"no cell shows it: {reason}" for reason in sorted(unseen))]


SHOWS_PUBLIC_CARD = Difference(
    agents=WITHOUT_CARD,
    operations=("card",),
    cell=RIGHT,
    reason="The client reads from the card that there is no extended card, and returns the card.",
)

JAVASCRIPT = (SHOWS_PUBLIC_CARD,)

READS_NO_TIME = "It cannot read times without a zone, which agents of Pydantic AI write; JSON-RPC passes as it is."

OFFICIAL_CLIENTS = {
    ("js", "0.3"): OfficialClient("JavaScript 0.3.14", "0.3", (JSON_RPC, REST), JAVASCRIPT),
    ("js", "1.3"): OfficialClient("JavaScript 1.3.0", "1.0", (JSON_RPC, REST, GRPC), JAVASCRIPT),
    ("go", "0.3"): OfficialClient(
        "Go 0.3.15",
        "0.3",
        (JSON_RPC,),
        (
            SHOWS_PUBLIC_CARD,
            Difference(agents=frozenset({PYDANTIC_AI}), cell=r"broken: .*parsing time.*", reason=READS_NO_TIME),
            Difference(
                agents=frozenset(OFFERS),
                operations=("push delete",),
                cell="unknown code",
                reason="It has no name for errors that 1.0 added.",
            ),
        ),
    ),
    ("go", "2.4"): OfficialClient(
        "Go 2.4.0",
        "1.0",
        (JSON_RPC, REST, GRPC),
        (
            Difference(
                agents=WITHOUT_CARD,
                operations=("card",),
                cell="EXTENDED_AGENT_CARD_NOT_CONFIGURED",
                reason="The client reads from the card that there is no extended card, and refuses by itself.",
            ),
            Difference(
                bindings=(JSON_RPC,), agents=frozenset({PYDANTIC_AI}), cell="INTERNAL_ERROR", reason=READS_NO_TIME
            ),
        ),
    ),
    ("java", "0.3"): OfficialClient(
        "Java 0.3.3",
        "0.3",
        (JSON_RPC, REST),
        (
            SHOWS_PUBLIC_CARD,
            Difference(
                bindings=(JSON_RPC,),
                agents=frozenset({PYDANTIC_AI}),
                cell=r"broken: .*Cannot deserialize value of type `java.time.OffsetDateTime`.*",
                reason=READS_NO_TIME,
            ),
            Difference(
                bindings=(REST,),
                agents=frozenset({GOOGLE_ADK}),
                cell=r"broken: (java.lang.NullPointerException|.*Cannot find field: metadata in message a2a.v1.Part.*)",
                reason="Its HTTP+JSON knows no metadata of a part, which Google ADK sends.",
            ),
            Difference(
                bindings=(REST,),
                cell=r"broken: io\.a2a\.spec\.A2AClientException: .*",
                reason="Its HTTP+JSON reads the code of an error only if the error names its class in Java; from other "
                "agents it reads the text.",
            ),
        ),
    ),
    ("java", "1.0"): OfficialClient(
        "Java 1.0.0.Alpha3",
        "a draft of 1.0",
        (JSON_RPC, REST),
        (
            Difference(
                bindings=(REST,),
                cell="broken: java.lang.UnsupportedOperationException: JsonObject",
                reason="Its HTTP+JSON cannot read errors.",
            ),
        ),
        agents=("JSON-RPC 1.0", "JSON-RPC 0.3", "Go 2.4", POLL),
        lacks=("list", *PUSH, "card"),
    ),
}
"""The official clients by language and version."""

DOCUMENT = Path("docs/a2a.md")

BEGIN, END = "<!-- official clients -->\n", "<!-- end of official clients -->\n"

NAMES = {JSON_RPC: "JSON-RPC", REST: REST, GRPC: "gRPC"}


def render_table() -> str:
    """Return the table of the clients and the notes below it as Markdown."""
    reasons = list(dict.fromkeys(one.reason for client in OFFICIAL_CLIENTS.values() for one in client.differences))
    rows = [["client", "A2A", "bindings", "does not try", "differs"], ["---"] * 5]
    for client in OFFICIAL_CLIENTS.values():
        lacks = [name for name in OPERATIONS if name not in client.operations]
        numbers = sorted({reasons.index(one.reason) + 1 for one in client.differences})
        bindings = ", ".join(NAMES[binding] for binding in client.bindings)
        differs = ", ".join(map(str, numbers)) or "nowhere"
        rows.append([client.name, client.protocol, bindings, ", ".join(lacks) or "nothing", differs])
    table = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    return table + "\n" + "".join(f"{number}. {reason}\n" for number, reason in enumerate(reasons, 1))


def replace_table(text: str) -> str:
    """Return the document with the table as it is to be."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return head + BEGIN + render_table() + END + tail


if __name__ == "__main__":
    DOCUMENT.write_text(replace_table(DOCUMENT.read_text()))
