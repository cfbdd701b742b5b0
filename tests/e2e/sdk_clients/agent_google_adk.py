"""
An agent of the Agent Development Kit of Google: `python agent_google_adk.py`.

Serves JSON-RPC at a free port of this machine, which it prints. Its model answers each message with its text. For a
text that says `wait` it calls a tool that waits for a person, which leaves the task open. Runs in an environment of its
own, where nothing of this project can be imported.
"""

import socket
import sys

import uvicorn
from google.adk.a2a.utils.agent_to_a2a import to_a2a
from google.adk.agents import LlmAgent
from google.adk.models import BaseLlm, LlmCapabilities, LlmResponse
from google.adk.tools import LongRunningFunctionTool
from google.genai import types


class EchoModel(BaseLlm):
    model: str = "echo"

    @property
    def capabilities(self) -> LlmCapabilities:
        return LlmCapabilities()

    async def generate_content_async(self, llm_request, stream=False):  # noqa: FBT002 - the framework calls it so
        part = llm_request.contents[-1].parts[-1]
        if part.text is None:  # the answer of the tool
            return
        if "wait" in part.text:
            part = types.Part(function_call=types.FunctionCall(name="ask_person", args={"question": part.text}))
        yield LlmResponse(content=types.Content(role="model", parts=[part]))


def ask_person(question: str) -> None:
    """Ask a person, who answers later."""


def main() -> None:
    agent = LlmAgent(name="echo", model=EchoModel(), tools=[LongRunningFunctionTool(func=ask_person)])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        app = to_a2a(agent, host="127.0.0.1", port=port)
        server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        sys.stdout.write(f"http://127.0.0.1:{port}/\n")
        sys.stdout.flush()
        server.run(sockets=[listener])


if __name__ == "__main__":
    main()
