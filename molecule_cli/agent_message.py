"""Reads a message of an agent to people, as an event carries it; takes nothing for granted about its members."""

from dataclasses import dataclass

EVENT_TYPE = "AGENT_MESSAGE"


@dataclass(frozen=True, slots=True)
class AgentMessage:
    """The text of a message, and the names of its files."""

    text: str
    files: tuple[str, ...]

    def __str__(self) -> str:
        """Return the text, followed by the names of the files."""
        files = f"[{', '.join(self.files)}]" if self.files else ""
        return f"{self.text} {files}".strip()


def read_message(payload: object) -> AgentMessage | None:
    """Return the message in the payload of an event; `None` if it has neither a text nor a file.

    An attachment counts if it is an object whose `uri` and `name` are texts that are not empty.
    """
    members = payload if isinstance(payload, dict) else {}
    text, attachments = members.get("message"), members.get("attachments")
    message = AgentMessage(
        text=text if isinstance(text, str) else "",
        files=tuple(
            entry["name"] for entry in (attachments if isinstance(attachments, list) else ()) if _is_file(entry)
        ),
    )
    return message if message.text or message.files else None


def _is_file(entry: object) -> bool:
    return isinstance(entry, dict) and all(
        isinstance(entry.get(name), str) and entry[name] != "" for name in ("uri", "name")
    )
