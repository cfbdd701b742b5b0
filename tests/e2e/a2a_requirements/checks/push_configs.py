"""Checks of push notification configs and of the notifications."""

from uuid import uuid4

from tests.e2e.a2a_requirements.probe import UNKNOWN_TASK, Probe
from tests.e2e.a2a_requirements.registry import check
from tests.e2e.a2a_requirements.reply import JsonObject
from tests.waiting import eventually


async def _set(probe: Probe, **members: object) -> tuple[str, JsonObject]:
    """Return an open task and the config that was set for it."""
    task = await probe.make_task("wait")
    params = {"taskId": task["id"], "id": "c", "url": f"{probe.receiver.url}&c=1", **members}
    return task["id"], (await probe.full.call("push set", params)).result


async def _notify(probe: Probe, token: str, **members: object) -> tuple[JsonObject, dict[str, str]]:
    """Return the last notification of a task whose config came with its message, and the headers it came with."""
    config = {"id": "c", "url": probe.receiver.url, "token": token, **members}
    task = (await probe.send("hello", {"taskPushNotificationConfig": config})).task

    def find() -> tuple[JsonObject, dict[str, str]] | None:
        pairs = zip(probe.receiver.received, probe.receiver.requests, strict=True)
        return next(
            (
                (body, {name.lower(): value for name, value in request.headers.items()})
                for body, request in pairs
                if task["id"] in str(body) and "COMPLETED" in str(body).upper()
            ),
            None,
        )

    return await eventually(find, within=2 if probe.is_polled else 15)


@check("PUSH-01")
async def a_config_is_set(probe: Probe) -> None:
    task_id, config = await _set(probe)
    assert (config["taskId"], config["id"]) == (task_id, "c")
    assert config["url"] == f"{probe.receiver.url}&c=1"


@check("PUSH-02")
async def a_config_is_read(probe: Probe) -> None:
    task_id, config = await _set(probe, token="t")
    read = (await probe.full.call("push get", {"taskId": task_id, "id": "c"})).result
    assert (read["id"], read["url"], read["token"]) == ("c", config["url"], "t")


@check("PUSH-03")
async def configs_are_listed(probe: Probe) -> None:
    task_id, _ = await _set(probe)
    second = {"taskId": task_id, "id": "d", "url": f"{probe.receiver.url}&d=1"}
    assert not (await probe.full.call("push set", second)).reason
    listed = (await probe.full.call("push list", {"taskId": task_id})).result["configs"]
    assert {config["id"] for config in listed} == {"c", "d"}


@check("PUSH-04")
async def a_config_is_deleted(probe: Probe) -> None:
    task_id, _ = await _set(probe)
    assert not (await probe.full.call("push delete", {"taskId": task_id, "id": "c"})).reason
    assert (await probe.full.call("push get", {"taskId": task_id, "id": "c"})).reason


@check("PUSH-05")
async def a_config_is_deleted_twice(probe: Probe) -> None:
    task_id, _ = await _set(probe)
    for _ in range(2):
        reply = await probe.full.call("push delete", {"taskId": task_id, "id": "c"})
        assert not reply.reason, reply.raw


@check("PUSH-06")
async def an_unknown_config_is_not_found(probe: Probe) -> None:
    task = await probe.make_task("wait")
    assert (await probe.full.call("push get", {"taskId": task["id"], "id": str(uuid4())})).reason


@check("PUSH-07")
async def a_config_of_an_unknown_task_is_refused(probe: Probe) -> None:
    params = {"taskId": UNKNOWN_TASK, "id": "c", "url": probe.receiver.url}
    (await probe.full.call("push set", params)).must_be("TASK_NOT_FOUND")
    (await probe.full.call("push get", {"taskId": UNKNOWN_TASK, "id": "c"})).must_be("TASK_NOT_FOUND")


@check("PUSH-08")
async def configs_without_the_capability_are_refused(probe: Probe) -> None:
    named = {"taskId": UNKNOWN_TASK, "id": "c"}
    for operation, params in (
        ("push set", {**named, "url": probe.receiver.url}),
        ("push get", named),
        ("push list", {"taskId": UNKNOWN_TASK}),
        ("push delete", named),
    ):
        (await probe.plain.call(operation, params)).must_be("PUSH_NOTIFICATION_NOT_SUPPORTED")


@check("PUSH-09")
async def a_task_without_configs_has_an_empty_list(probe: Probe) -> None:
    task = await probe.make_task("wait")
    listed = (await probe.full.call("push list", {"taskId": task["id"]})).result
    assert not (listed or {}).get("configs")


@check("PUSH-10")
async def a_notification_arrives_with_its_credentials(probe: Probe) -> None:
    authentication = {"scheme": "Bearer", "credentials": "secret"}
    _, headers = await _notify(probe, str(uuid4()), authentication=authentication)
    assert headers["authorization"] == "Bearer secret"


@check("PUSH-11")
async def a_notification_has_the_form_of_its_generation(probe: Probe) -> None:
    body, _ = await _notify(probe, str(uuid4()))
    if probe.is_legacy:
        assert (body["kind"], body["status"]["state"]) == ("task", "completed")
    else:
        [name] = body
        assert name in ("task", "statusUpdate"), body


@check("PUSH-12")
async def a_notification_brings_its_token(probe: Probe) -> None:
    token = str(uuid4())
    _, headers = await _notify(probe, token)
    assert headers["x-a2a-notification-token"] == token
