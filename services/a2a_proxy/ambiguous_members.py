"""Finds the members of a request that two parsers read in two ways, so that its agent reads what the plane has judged.

Some parsers take the first of two members with the same name, most take the last. Those of Go and .NET ignore the case
of names, so that for them `ID` replaces the `id` that the plane has read.
"""

from collections.abc import Iterable, Iterator
from itertools import chain

from molecule_a2a.methods import find_method
from services.a2a_proxy.json_values import get_object
from services.a2a_proxy.model import JsonObject
from services.a2a_proxy.task_references import CONFIG_NAMES, MESSAGE_OPERATIONS, NESTED_NAMES, TASK_METHOD_PREFIX
from services.chassis import strict_json

ENVELOPE_NAMES = frozenset({"jsonrpc", "id", "method", "params"})
PARAMS_NAMES = frozenset({"message", "configuration"})
MESSAGE_NAMES = frozenset({"taskId", "task_id", "referenceTaskIds", "reference_task_ids", "contextId", "context_id"})
CONFIGURATION_NAMES = frozenset(CONFIG_NAMES)
TASK_NAMES = frozenset({"id", "taskId", "task_id", "url", *NESTED_NAMES})
"""The names in params about a task, and in a push notification config."""


def find_ambiguous_name(request: JsonObject) -> str | None:
    """Return the name of a member that is spelled almost like one that the plane judges; `None` if there is none."""
    return next(chain(_find_similar(request, ENVELOPE_NAMES), _find_in_params(request)), None)


def has_repeated_names(raw: bytes, parsed: object) -> bool:
    """Whether objects of a JSON text have several members with the same name, of which only one is in the value.

    Each member has one colon, and the colons in texts are in the value, too. A text may hold one in its escaped form;
    where it only seems to, the answer may be wrongly that there are such members.
    """
    colons = raw.count(b":")
    if rb"\u003" in raw:
        colons += raw.count(rb"\u003a") + raw.count(rb"\u003A")
    return colons != strict_json.dump(parsed).count(b":")


def _find_in_params(request: JsonObject) -> Iterator[str]:
    name, params = request.get("method"), get_object(request, "params")
    method = find_method(name)
    if method is not None and method.operation in MESSAGE_OPERATIONS:
        yield from _find_similar(params, PARAMS_NAMES)
        yield from _find_similar(get_object(params, "message"), MESSAGE_NAMES)
        configuration = get_object(params, "configuration")
        yield from _find_similar(configuration, CONFIGURATION_NAMES)
        yield from _find_in_configs(configuration, CONFIG_NAMES)
    elif method is not None or (isinstance(name, str) and name.startswith(TASK_METHOD_PREFIX)):
        yield from _find_similar(params, TASK_NAMES)
        yield from _find_in_configs(params, NESTED_NAMES)


def _find_in_configs(holder: JsonObject, names: Iterable[str]) -> Iterator[str]:
    if not holder:
        return
    for name in names:
        config = get_object(holder, name)
        yield from _find_similar(config, TASK_NAMES)
        yield from _find_in_configs(config, NESTED_NAMES)


def _find_similar(source: JsonObject, names: frozenset[str]) -> Iterator[str]:
    """Yield the names that are not among the given ones, but differ from one of them only in case and underscores."""
    others = source.keys() - names
    if others:
        folded = _FOLDED[names]
        yield from (name for name in others if _fold(name) in folded)


def _fold(name: str) -> str:
    return name.casefold().replace("_", "")


_FOLDED = {
    names: frozenset(_fold(name) for name in names)
    for names in (ENVELOPE_NAMES, PARAMS_NAMES, MESSAGE_NAMES, CONFIGURATION_NAMES, TASK_NAMES)
}
