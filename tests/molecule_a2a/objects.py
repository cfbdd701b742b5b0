"""Strategies for objects of A2A: valid ones of both dialects, and ones that any author may have spoilt."""

from copy import deepcopy
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

few = settings(max_examples=20)
"""For valid objects, whose dialect takes most of the time of a test."""

many = settings(max_examples=60)
"""For spoilt objects."""

texts = st.sampled_from(["a", "b-1", "text/plain", "☃"])
flags = st.booleans()
states = st.sampled_from(
    ["submitted", "working", "completed", "failed", "canceled", "input-required", "rejected", "auth-required"]
)
timestamps = st.sampled_from(["2026-01-01T00:00:00Z", "2026-02-03T04:05:06.789012345Z", "2026-01-01T00:00:00+02:00"])
scalars = st.none() | flags | st.integers(-5, 2**53) | st.sampled_from([0.5, 1e300, "", "x"])
free_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2), max_leaves=4
)
metadata = st.dictionaries(texts, free_values, min_size=1, max_size=2)
bytes64 = st.sampled_from(["iVBO", "AA==", "+/8="])


def make(required: dict[str, Any], **optional: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(required, optional=optional)


def join(*strategies: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with the members of all of them."""
    return st.tuples(*strategies).map(lambda objects: {name: value for one in objects for name, value in one.items()})


def constant(**members: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.just(members)


file_properties = make({}, name=texts, mimeType=texts)
legacy_parts = st.one_of(
    make({"kind": st.just("text"), "text": texts}, metadata=metadata),
    make({"kind": st.just("file"), "file": join(make({"bytes": bytes64}), file_properties)}, metadata=metadata),
    make({"kind": st.just("file"), "file": join(make({"uri": texts}), file_properties)}, metadata=metadata),
    make({"kind": st.just("data"), "data": metadata}, metadata=metadata),
)
properties = make({}, metadata=metadata, filename=texts, mediaType=texts)
current_parts = st.one_of(
    make({"text": texts}, metadata=metadata),
    join(st.one_of(make({"raw": bytes64}), make({"url": texts})), properties),
    make({"data": free_values}, metadata=metadata),
)

message_members = make(
    {"messageId": texts},
    contextId=texts,
    taskId=texts,
    referenceTaskIds=st.lists(texts, min_size=1, max_size=2),
    extensions=st.lists(texts, min_size=1, max_size=2),
    metadata=metadata,
)
legacy_messages = join(
    message_members,
    make({"role": st.sampled_from(["user", "agent"]), "parts": st.lists(legacy_parts, min_size=1, max_size=3)}),
    constant(kind="message"),
)
current_messages = join(
    message_members,
    make(
        {"role": st.sampled_from(["ROLE_USER", "ROLE_AGENT"]), "parts": st.lists(current_parts, min_size=1, max_size=3)}
    ),
)

artifact_members = make(
    {"artifactId": texts},
    name=texts,
    description=texts,
    metadata=metadata,
    extensions=st.lists(texts, min_size=1, max_size=1),
)
legacy_artifacts = join(artifact_members, make({"parts": st.lists(legacy_parts, min_size=1, max_size=2)}))
current_artifacts = join(artifact_members, make({"parts": st.lists(current_parts, min_size=1, max_size=2)}))


def name_current_state(state: str) -> str:
    return "TASK_STATE_" + state.upper().replace("-", "_")


legacy_statuses = make({"state": states}, message=legacy_messages, timestamp=timestamps)
current_statuses = make({"state": states.map(name_current_state)}, message=current_messages, timestamp=timestamps)

ids = make({"id": texts, "contextId": texts}, metadata=metadata)
legacy_tasks = join(
    ids,
    make(
        {"status": legacy_statuses},
        artifacts=st.lists(legacy_artifacts, min_size=1, max_size=2),
        history=st.lists(legacy_messages, min_size=1, max_size=2),
    ),
    constant(kind="task"),
)
current_tasks = join(
    ids,
    make(
        {"status": current_statuses},
        artifacts=st.lists(current_artifacts, min_size=1, max_size=2),
        history=st.lists(current_messages, min_size=1, max_size=2),
    ),
)

update_ids = make({"taskId": texts, "contextId": texts}, metadata=metadata)
FINAL_STATES = ("completed", "failed", "canceled", "rejected", "input-required", "auth-required")
legacy_status_updates = join(update_ids, make({"status": legacy_statuses}), constant(kind="status-update")).map(
    lambda update: {**update, "final": update["status"]["state"] in FINAL_STATES}
)
current_status_updates = join(update_ids, make({"status": current_statuses}))
legacy_artifact_updates = join(
    update_ids, make({"artifact": legacy_artifacts}, append=flags, lastChunk=flags), constant(kind="artifact-update")
)
current_artifact_updates = join(update_ids, make({"artifact": current_artifacts}, append=flags, lastChunk=flags))

legacy_events = st.one_of(legacy_tasks, legacy_messages, legacy_status_updates, legacy_artifact_updates)
current_events = st.one_of(
    make({"task": current_tasks}),
    make({"message": current_messages}),
    make({"statusUpdate": current_status_updates}),
    make({"artifactUpdate": current_artifact_updates}),
)

push_members = make({"url": texts}, id=texts, token=texts)
legacy_push_configs = join(
    push_members,
    make({}, authentication=make({"schemes": st.lists(texts, min_size=1, max_size=1)}, credentials=texts)),
)
current_push_configs = join(push_members, make({}, authentication=make({"scheme": texts}, credentials=texts)))
legacy_task_configs = make({"taskId": texts, "pushNotificationConfig": legacy_push_configs})
current_task_configs = join(make({"taskId": texts}), current_push_configs)

output_modes = make({}, acceptedOutputModes=st.lists(texts, min_size=1, max_size=2), historyLength=st.integers(1, 9))
legacy_send_params = make(
    {
        "message": legacy_messages,
        "configuration": join(output_modes, make({"blocking": flags}, pushNotificationConfig=legacy_push_configs)),
    },
    metadata=metadata,
)
current_send_params = make(
    {"message": current_messages},
    configuration=join(
        output_modes, make({}, returnImmediately=st.just(True), taskPushNotificationConfig=current_push_configs)
    ),
    metadata=metadata,
)

junk = st.recursive(
    st.none() | flags | st.sampled_from([0, 1, -1, 2**70, 1.5, "", "text", "file", "data", "TASK_STATE_X", "agent"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["kind", "file", "text", "value", "bytes", "list", "id"]), inner, max_size=2)
    ),
    max_leaves=4,
)


@st.composite
def spoilt(draw: st.DrawFn, *samples: Any) -> Any:
    """The samples, with some values replaced by any JSON value, and some members missing."""
    value = [deepcopy(draw(st.sampled_from(samples)))]
    for _ in range(draw(st.integers(1, 3))):
        parent, name = draw(st.sampled_from(list(list_places(value))))
        if draw(st.integers(0, 2)):
            parent[name] = draw(junk)
        elif parent is not value:
            del parent[name]
    return value[0]


def list_places(value: Any) -> Any:
    """Every member and item of a value: its parent and its name or index."""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in list(members):
        yield value, name
        yield from list_places(inner)
