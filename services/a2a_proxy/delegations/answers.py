"""Reads the answer of an agent to a delegation, in both generations of A2A.

An answer is a JSON-RPC response whose result is a message or a task (A2A 0.3), or has one of them as `message` or
`task` (A2A 1.0). An agent that fetches its messages may give the result alone.
"""

from math import ceil, isfinite
from typing import Any

from services.a2a_proxy.delegations.model import Finished, Reading, Refused, Working
from services.a2a_proxy.json_values import get_list, get_object
from services.a2a_proxy.task_states import FAILED_STATES, WORKING_STATES, read_state
from services.chassis import strict_json

MAX_TEXT_LENGTH = 256 * 1024
"""Characters of an answer that are stored with its delegation."""

MAX_ERROR_LENGTH = 500
"""Characters of an error of an agent that are stored."""

MAX_TASK_ID_LENGTH = 512
"""Characters of the longest task id that is followed."""

INPUT_PRICE, OUTPUT_PRICE = 300, 1500
"""Cents for a million tokens (docs/spec/rest.md, 6.10)."""

MAX_TOKENS = 10_000_000
"""Tokens of one answer that count."""

TOKENS_PER_PRICE = 1_000_000


def read_answer(body: bytes | None) -> Reading:
    """Return what an answer means. A body that is not strict JSON is the text itself."""
    if not body:
        return Finished("")
    try:
        answer = strict_json.parse(body)
    except strict_json.InvalidJson:
        return Finished(clean(body.decode(errors="replace")))
    if not isinstance(answer, dict):
        return Finished(clean(answer if isinstance(answer, str) else strict_json.dump(answer).decode()))
    return _read_response(answer)


def find_text(result: object) -> str | None:
    """Return the first text part of a result, else of its artifacts, else of the message of its status, or `None`."""
    if isinstance(result, str):
        return result
    if not isinstance(result, dict):
        return None
    places = [result, *get_list(result, "artifacts"), get_object(get_object(result, "status"), "message")]
    return next((text for place in places if (text := _find_text_part(place)) is not None), None)


def read_cost(answer: dict[str, Any]) -> int | None:
    """Return the price of the usage that an answer reports, in cents rounded up; `None` if it reports none."""
    usage = get_object(get_object(answer, "result"), "usage") or get_object(answer, "usage")
    tokens = [_read_count(usage.get(name)) for name in ("input_tokens", "output_tokens")]
    if tokens == [None, None]:
        return None
    cost = (tokens[0] or 0) * INPUT_PRICE + (tokens[1] or 0) * OUTPUT_PRICE
    return ceil(cost / TOKENS_PER_PRICE)


def shorten(text: str) -> str:
    """Return an error of an agent as it is stored."""
    return clean(text)[:MAX_ERROR_LENGTH]


def clean(text: str) -> str:
    """Return a text that the database can store, with at most MAX_TEXT_LENGTH characters."""
    return text[:MAX_TEXT_LENGTH].encode(errors="replace").decode().replace("\0", "")


def _read_response(answer: dict[str, Any]) -> Reading:
    if "error" in answer and "result" not in answer:
        return Refused(_describe_error(answer["error"]))
    result = _unwrap(answer.get("result", answer))
    state = read_state(result)
    task_id = result.get("id") if isinstance(result, dict) else None
    if state in WORKING_STATES and isinstance(task_id, str) and _may_be_followed(task_id):
        return Working(task_id)
    if state in FAILED_STATES:
        return Refused(_describe_failure(FAILED_STATES[state], result))
    text = find_text(result)
    return Finished(clean(strict_json.dump(result).decode() if text is None else text), read_cost(answer))


def _may_be_followed(task_id: str) -> bool:
    """Whether the id of a task can be stored, so that the task can be asked for."""
    return 0 < len(task_id) <= MAX_TASK_ID_LENGTH and clean(task_id) == task_id


def _unwrap(result: Any) -> Any:  # noqa: ANN401 - JSON is anything
    """Return the message or the task of a result of A2A 1.0; any other result unchanged."""
    if isinstance(result, dict) and "kind" not in result:
        for name in ("message", "task"):
            if isinstance(result.get(name), dict) and len(result) == 1:
                return result[name]
    return result


def _describe_error(error: object) -> str:
    message = error.get("message") if isinstance(error, dict) else error
    return shorten(message) if isinstance(message, str) and message else "the agent answered with an error"


def _describe_failure(text: str, result: object) -> str:
    said = _find_text_part(get_object(get_object(result, "status"), "message"))
    return shorten(f"{text}: {said}" if said else text)


def _find_text_part(place: object) -> str | None:
    for part in get_list(place, "parts"):
        text = part.get("text") if isinstance(part, dict) else None
        if isinstance(text, str):
            return text
    return None


def _read_count(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not isfinite(value):
        return None
    return int(max(0, min(value, MAX_TOKENS)))
