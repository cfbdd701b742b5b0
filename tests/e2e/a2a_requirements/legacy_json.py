"""Writes requests of 0.3 from JSON of 1.0, and reads its answers as JSON of 1.0, for the callers of 0.3."""

from typing import Any

from tests.e2e.a2a_requirements.reply import JsonObject

EVENT_NAMES = {
    "task": "task",
    "message": "message",
    "status-update": "statusUpdate",
    "artifact-update": "artifactUpdate",
}


def write_message(message: JsonObject) -> JsonObject:
    """Return a message for JSON-RPC of 0.3."""
    written = {**message, "kind": "message", "role": "user"}
    if isinstance(message.get("parts"), list):
        written["parts"] = [_write_part(part) for part in message["parts"]]
    return written


def _write_part(part: JsonObject) -> JsonObject:
    extra = {"metadata": part["metadata"]} if "metadata" in part else {}
    if "text" in part:
        return {"kind": "text", "text": part["text"], **extra}
    if "data" in part:
        return {"kind": "data", "data": part["data"], **extra}
    file = {"bytes": part["raw"]} if "raw" in part else {"uri": part["url"]}
    names = {"filename": "name", "mediaType": "mimeType"}
    file |= {new: part[old] for old, new in names.items() if old in part}
    return {"kind": "file", "file": file, **extra}


def write_proto_message(message: JsonObject) -> JsonObject:
    """Return a message for HTTP+JSON of 0.3, which is JSON of the proto file."""
    written = {name: value for name, value in message.items() if name != "parts"}
    if isinstance(message.get("parts"), list):
        written["content"] = [_write_proto_part(part) for part in message["parts"]]
    return written


def _write_proto_part(part: JsonObject) -> JsonObject:
    if "text" in part:
        return {"text": part["text"]}
    if "data" in part:
        return {"data": {"data": part["data"]}}
    file = {"fileWithBytes": part["raw"]} if "raw" in part else {"fileWithUri": part["url"]}
    return {"file": file | ({"mimeType": part["mediaType"]} if "mediaType" in part else {})}


def write_configuration(configuration: JsonObject) -> JsonObject:
    """Return the configuration of a message for JSON-RPC of 0.3."""
    written: JsonObject = {"blocking": not configuration.get("returnImmediately", False)}
    for name in ("historyLength", "acceptedOutputModes"):
        if name in configuration:
            written[name] = configuration[name]
    if "taskPushNotificationConfig" in configuration:
        written["pushNotificationConfig"] = write_push_config(configuration["taskPushNotificationConfig"])
    return written


def write_push_config(config: JsonObject) -> JsonObject:
    """Return a push notification config without its task."""
    written = {name: config[name] for name in ("id", "url", "token") if name in config}
    if "authentication" in config:
        authentication = config["authentication"]
        written["authentication"] = {
            "schemes": [authentication["scheme"]],
            "credentials": authentication.get("credentials", ""),
        }
    return written


def read_result(result: Any) -> Any:
    """Return a result of JSON-RPC of 0.3 as one of 1.0."""
    if isinstance(result, list):
        return {"configs": [read_result(one) for one in result]}
    if not isinstance(result, dict):
        return result
    if "pushNotificationConfig" in result:
        return {"taskId": result.get("taskId"), **result["pushNotificationConfig"]}
    if result.get("kind") in EVENT_NAMES:
        return {EVENT_NAMES[result["kind"]]: read_object(result)}
    return result


def read_proto_result(result: Any) -> Any:
    """Return a result of HTTP+JSON of 0.3 as one of 1.0."""
    if not isinstance(result, dict):
        return result
    if "pushNotificationConfig" in result:
        _, task_id, _, _ = result["name"].split("/")
        return {"taskId": task_id, **result["pushNotificationConfig"]}
    if "configs" in result:
        return {"configs": [read_proto_result(one) for one in result["configs"]]}
    for name in ("task", "message", "msg", "statusUpdate", "artifactUpdate"):
        if name in result:
            return {"message" if name == "msg" else name: read_object(result[name])}
    return read_object(result)


def read_object(value: JsonObject) -> JsonObject:
    """Return a task, message or event with the states, parts and roles of 1.0."""
    read = dict(value)
    if "status" in read:
        status = dict(read["status"])
        state = status["state"].removeprefix("TASK_STATE_").upper().replace("-", "_").replace("CANCELLED", "CANCELED")
        status["state"] = f"TASK_STATE_{state}"
        if "message" in status or "update" in status:
            status["message"] = read_object(status.get("message") or status["update"])
        read["status"] = status
    if "parts" in read or "content" in read:
        read["parts"] = [_read_part(part) for part in read.get("parts", read.get("content"))]
    for name in ("history", "artifacts"):
        if name in read:
            read[name] = [read_object(one) for one in read[name]]
    if "artifact" in read:
        read["artifact"] = read_object(read["artifact"])
    if read.get("role") in ("user", "agent"):
        read["role"] = f"ROLE_{read['role'].upper()}"
    return read


def _read_part(part: JsonObject) -> JsonObject:
    if "text" in part:
        return {"text": part["text"]}
    if "data" in part:
        data = part["data"]
        return {"data": data if part.get("kind") == "data" else data.get("data")}
    file = part["file"]
    names = {"bytes": "raw", "fileWithBytes": "raw", "uri": "url", "fileWithUri": "url", "mimeType": "mediaType"}
    return {names.get(name, "filename"): value for name, value in file.items() if name in names or name == "name"}
