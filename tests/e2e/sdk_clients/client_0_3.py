"""
The official client of A2A 0.3: `python client_0_3.py CARD_URLS TEXT [BEARER]`.

Finds each agent by its card, sends TEXT plain and streaming, and prints what came back as a JSON list, with the
failure in place of answers that the client cannot read. Commas separate the addresses of the cards. Runs in an
environment of its own, where nothing of this project can be imported.
"""

import asyncio
import json
import sys
from importlib.metadata import version
from uuid import uuid4

import httpx
from a2a.client import A2ACardResolver, ClientConfig, ClientFactory
from a2a.types import AgentCard, Message, Part, Role, TextPart


async def main(card_urls: str, text: str, bearer: str = "") -> None:
    headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
    async with httpx.AsyncClient(headers=headers, timeout=30) as http:
        json.dump([await _try(http, card_url, text) for card_url in card_urls.split(",")], sys.stdout)


async def _try(http: httpx.AsyncClient, card_url: str, text: str) -> dict:
    try:
        return await _converse(http, card_url, text)
    except Exception as error:  # noqa: BLE001 - the test says which are expected
        return {"failure": f"{type(error).__name__}: {error}"}


async def _converse(http: httpx.AsyncClient, card_url: str, text: str) -> dict:
    base, _, path = card_url.partition("/.well-known/")
    card = await A2ACardResolver(http, base, f"/.well-known/{path}").get_agent_card()
    plain = await _ask(http, card, text, streaming=False)
    streamed = await _ask(http, card, text, streaming=True)
    return {
        "sdk": version("a2a-sdk"),
        "card": card.name,
        "url": card.url,
        "plain": plain[-1].get("text"),
        "plain_state": plain[-1]["state"],
        "streamed": streamed[-1].get("text"),
        "streamed_state": streamed[-1]["state"],
        "events": [event["kind"] for event in streamed],
    }


async def _ask(http: httpx.AsyncClient, card: AgentCard, text: str, *, streaming: bool) -> list[dict]:
    """Send the message; return the task after each event."""
    client = ClientFactory(ClientConfig(httpx_client=http, streaming=streaming)).create(card)
    message = Message(message_id=str(uuid4()), role=Role.user, parts=[Part(root=TextPart(text=text))])
    seen = []
    async for task, update in client.send_message(message):
        parts = [part.root for artifact in task.artifacts or [] for part in artifact.parts]
        seen.append(
            {
                "kind": update.kind if update else task.kind,
                "state": task.status.state.value,
                "text": "".join(part.text for part in parts),
            }
        )
    return seen


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
