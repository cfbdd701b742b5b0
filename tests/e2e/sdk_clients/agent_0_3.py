"""
An agent of the official SDK of A2A 0.3: `python agent_0_3.py`.

Serves JSON-RPC at a free port of this machine, which it prints, and answers each message with an artifact of its text.
A text that says `wait` leaves the task open. Runs in an environment of its own, where nothing of this project can be
imported.
"""

import socket
import sys

import uvicorn
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.apps import A2AStarletteApplication
from a2a.server.events import EventQueue
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.tasks import InMemoryPushNotificationConfigStore, InMemoryTaskStore, TaskUpdater
from a2a.types import AgentCapabilities, AgentCard, AgentSkill
from a2a.utils import new_task


class WaitingExecutor(AgentExecutor):
    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        task = context.current_task or new_task(context.message)
        await event_queue.enqueue_event(task)
        updater = TaskUpdater(event_queue, task.id, task.context_id)
        await updater.start_work()
        await updater.add_artifact(list(context.message.parts), name="echo")
        if "wait" in context.get_user_input():
            await updater.requires_input()
        else:
            await updater.complete()

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        await TaskUpdater(event_queue, context.task_id, context.context_id).cancel()


def main() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        card = AgentCard(
            name="echo",
            description="Echoes",
            version="1",
            url=url,
            skills=[AgentSkill(id="echo", name="echo", description="Echoes", tags=["echo"])],
            capabilities=AgentCapabilities(streaming=True, push_notifications=True),
            default_input_modes=["text/plain"],
            default_output_modes=["text/plain"],
            supports_authenticated_extended_card=True,
        )
        handler = DefaultRequestHandler(
            WaitingExecutor(), InMemoryTaskStore(), push_config_store=InMemoryPushNotificationConfigStore()
        )
        app = A2AStarletteApplication(card, handler, extended_agent_card=card).build()
        server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        sys.stdout.write(f"{url}\n")
        sys.stdout.flush()
        server.run(sockets=[listener])


if __name__ == "__main__":
    main()
