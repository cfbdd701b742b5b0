"""
An agent of the Agent Framework of Microsoft: `python agent_microsoft.py`.

Serves JSON-RPC at a free port of this machine, which it prints. Its model answers each message with its text, and a
text that says `wait` never. Runs in an environment of its own, where nothing of this project can be imported.
"""

import asyncio
import socket
import sys

import uvicorn
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes
from a2a.server.tasks import InMemoryTaskStore
from a2a.types import AgentCapabilities, AgentCard, AgentInterface
from agent_framework import Agent, BaseChatClient, ChatResponseUpdate, Content
from agent_framework.a2a import A2AExecutor
from starlette.applications import Starlette


class EchoClient(BaseChatClient):
    def _inner_get_response(self, *, messages, stream, options, **kwargs):
        return self._build_response_stream(echo(messages[-1].text))


async def echo(text):
    if "wait" in text:
        await asyncio.Event().wait()
    yield ChatResponseUpdate(role="assistant", contents=[Content.from_text(text)])


def main() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        card = AgentCard(
            name="echo",
            description="Echoes",
            version="1",
            default_input_modes=["text"],
            default_output_modes=["text"],
            capabilities=AgentCapabilities(streaming=True),
            supported_interfaces=[AgentInterface(url=url, protocol_binding="JSONRPC")],
        )
        handler = DefaultRequestHandler(
            agent_executor=A2AExecutor(Agent(client=EchoClient(), name="echo"), stream=True),
            task_store=InMemoryTaskStore(),
            agent_card=card,
        )
        app = Starlette(routes=[*create_agent_card_routes(card), *create_jsonrpc_routes(handler, "/")])
        server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        sys.stdout.write(f"{url}\n")
        sys.stdout.flush()
        server.run(sockets=[listener])


if __name__ == "__main__":
    main()
