"""Converts JSON-RPC answers of 1.0 into HTTP answers of the binding."""

from http import HTTPStatus

from molecule_a2a.answers import convert_result
from molecule_a2a.error_objects import build_error
from molecule_a2a.errors import INVALID_AGENT_RESPONSE, ConversionFailed
from molecule_a2a.model import AnswerConversion, Dialect, JsonObject, Operation
from molecule_a2a.rest.error_bodies import build_value_detail, render_error, render_status
from molecule_a2a.rest.model import MIN_ERROR_STATUS, HttpAnswer, Target
from molecule_a2a.rest.proto_results import render_result
from molecule_a2a.rest.receipts import build_submitted_task, is_receipt
from molecule_a2a.rest.statuses import Status, get_canonical_code
from molecule_a2a.timestamps import upgrade_result_times


def render_answer(answer: object, *, http: int, target: Target, context_id: str = "") -> HttpAnswer:
    """Return the HTTP answer for the answer to a JSON-RPC request of 1.0, which came with the HTTP status `http`.

    A receipt of the plane becomes a task, in the context of the message. What is no JSON-RPC response is an error.
    """
    try:
        return _render_answer(answer, http, target, context_id)
    except ConversionFailed as failure:
        return render_failure(failure, target.dialect)


def render_failure(failure: ConversionFailed, dialect: Dialect) -> HttpAnswer:
    """Return the HTTP answer that tells why there is no conversion."""
    return render_error(build_error(failure, Dialect.CURRENT), dialect)


def render_current_result(result: object, target: Target) -> object:
    """Return a result of 1.0 as the body of the binding; raises `ConversionFailed`."""
    if result is None and target.operation is Operation.DELETE_PUSH_CONFIG:
        result = {}
    if not isinstance(result, dict):
        raise ConversionFailed(INVALID_AGENT_RESPONSE, "the agent's result is not a JSON object")
    result = upgrade_result_times(result)
    if target.dialect is Dialect.CURRENT:
        return result
    legacy = convert_result(result, AnswerConversion(operation=target.operation, caller=Dialect.LEGACY))
    return render_result(legacy, target.operation)


def _render_answer(answer: object, http: int, target: Target, context_id: str = "") -> HttpAnswer:
    if not isinstance(answer, dict):
        return _render_other(answer, http, target)
    if isinstance(answer.get("error"), dict) and "code" in answer["error"]:
        return render_error(answer["error"], target.dialect, http=http)
    if is_receipt(answer):
        answer = {"result": build_submitted_task(answer, target.operation, context_id)}
    if "result" not in answer and not _leaves_out_null(answer, http, target):
        return _render_other(answer, http, target)
    return HttpAnswer(HTTPStatus.OK, render_current_result(answer.get("result"), target))


def _leaves_out_null(answer: JsonObject, http: int, target: Target) -> bool:
    """Whether an answer says that a config is deleted, though it leaves out the result, as servers in Go do."""
    return target.operation is Operation.DELETE_PUSH_CONFIG and "jsonrpc" in answer and http < MIN_ERROR_STATUS


def _render_other(answer: object, http: int, target: Target) -> HttpAnswer:
    """Return the error for an answer that is no JSON-RPC response; raises `ConversionFailed` for a successful one."""
    if http < MIN_ERROR_STATUS:
        raise ConversionFailed(INVALID_AGENT_RESPONSE, "the agent's answer is no JSON-RPC response")
    status = Status(http, get_canonical_code(http))
    text = f"the agent answered with the HTTP status {http}"
    return render_status(status, text, [] if answer is None else [build_value_detail(answer)], target.dialect)
