"""
The official HTTP+JSON client of A2A 0.3: `python rest_client_0_3.py URL`.

Sends a message plain and streaming, reads and cancels its task, keeps a push notification config, and prints what came
back as one JSON object. Runs in an environment of its own, where nothing of this project can be imported.
"""

import asyncio
import json
import sys

import httpx
from a2a.client.errors import A2AClientHTTPError
from a2a.client.transports.rest import RestTransport
from a2a.types import (
    DataPart,
    FilePart,
    FileWithBytes,
    FileWithUri,
    GetTaskPushNotificationConfigParams,
    Message,
    MessageSendConfiguration,
    MessageSendParams,
    PushNotificationConfig,
    Role,
    TaskIdParams,
    TaskPushNotificationConfig,
    TaskQueryParams,
    TextPart,
)


async def main(url: str) -> None:
    async with httpx.AsyncClient(timeout=30) as http:
        client = RestTransport(http, url=url)
        task = await client.send_message(_build_params("wait"))
        events = [event async for event in client.send_message_streaming(_build_params("hello"))]
        read = await client.get_task(TaskQueryParams(id=task.id, history_length=1))
        config = PushNotificationConfig(id="P", url="https://8.8.8.8/hook")
        await client.set_task_callback(TaskPushNotificationConfig(task_id=task.id, push_notification_config=config))
        kept = await client.get_task_callback(
            GetTaskPushNotificationConfigParams(id=task.id, push_notification_config_id="P")
        )
        canceled = await client.cancel_task(TaskIdParams(id=task.id))
        try:
            await client.get_task(TaskQueryParams(id="no-such-task"))
        except A2AClientHTTPError as error:
            missing = error.status_code
    seen = {
        "task": _dump(task),
        "events": [_dump(event) for event in events],
        "read": _dump(read),
        "config": _dump(kept),
        "canceled": _dump(canceled),
        "missing": missing,
    }
    json.dump(seen, sys.stdout)


def _build_params(text: str) -> MessageSendParams:
    parts = [
        TextPart(text=text),
        DataPart(data={"k": [1, {"n": None}]}),
        FilePart(file=FileWithUri(uri="https://e/x", name="x", mime_type="image/png")),
        FilePart(file=FileWithBytes(bytes="iVBORw0KGgo=", name="y")),
    ]
    message = Message(message_id=text, role=Role.user, parts=parts, metadata={"a_b": 1})
    return MessageSendParams(message=message, configuration=MessageSendConfiguration(blocking=True))


def _dump(model) -> dict:
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
