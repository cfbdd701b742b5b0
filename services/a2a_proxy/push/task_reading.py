"""Reads the task of a notification from its agent, for receivers that expect whole tasks."""

from services.a2a_proxy import routing
from services.a2a_proxy.model import Answer, Answered, Push
from services.a2a_proxy.push.model import PushTarget
from services.a2a_proxy.route_cache import RouteCache
from services.a2a_proxy.sending import CALLER_HEADER, OPERATOR, Outgoing, Sender, build_headers
from services.chassis import strict_json
from services.chassis.errors import ServiceError
from services.chassis.large_bodies import run_by_size

MAX_TASK_BYTES = 1024 * 1024
"""Bytes of the largest task that is sent in a notification."""


class TaskReader:
    """Asks agents for tasks in A2A 0.3, as the owner of the task does."""

    def __init__(self, route_cache: RouteCache, sender: Sender) -> None:
        self._route_cache = route_cache
        self._sender = sender

    async def read(self, target: PushTarget) -> bytes | None:
        """Return the task of a target; `None` if the agent does not tell it now."""
        try:
            route = routing.check_route(await self._route_cache.find(target.target_id, None))
        except ServiceError:
            return None
        push = routing.decide(route)
        if not isinstance(push, Push):
            return None
        request = {"jsonrpc": "2.0", "id": "1", "method": "tasks/get", "params": {"id": target.task_id}}
        headers = build_headers({"accept": "application/json"}, version="0.3", request_id="", hops=1)
        outgoing = Outgoing(
            method="tasks/get",
            body=strict_json.dump(request),
            headers=headers | {CALLER_HEADER: target.owner_id or OPERATOR},
            deadline=None,
            max_answer_bytes=MAX_TASK_BYTES,
        )
        result = await self._sender.send(outgoing, route, push)
        if not isinstance(result, Answered) or not isinstance(result.answer, Answer):
            return None
        return await run_by_size(len(result.answer.body), _find_task, result.answer.body, target.task_id)


def _find_task(body: bytes, task_id: str | None) -> bytes | None:
    """Return the task in an answer, if it is the one that was asked for."""
    try:
        response = strict_json.parse(body)
    except strict_json.InvalidJson:
        return None
    task = response.get("result") if isinstance(response, dict) else None
    return strict_json.dump(task) if isinstance(task, dict) and task.get("id") == task_id else None
