"""The adapters of models, each with a server that speaks the wire format of its provider."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from molecule_agent.adapter import AdapterError, BaseAdapter, RuntimeState, TurnFailed, TurnRejected
from molecule_agent.adapters.conversations import MAX_TURN_CHARACTERS, Conversations, History
from tests.molecule_agent.adapter_turns import Adder, BrokenTool, make_adapter, read_answer, read_until_the_end
from tests.molecule_agent.fake_models import FakeChatApi, FakeMessagesApi, FakeModel, Reply

BUSY = Reply(status=429, headers=(("retry-after-ms", "1"),))

ADD = ("add", '{"a": 2, "b": 40}')


@dataclass(frozen=True, kw_only=True)
class Provider:
    name: str
    server: type[FakeModel]
    url_variable: str
    url_path: str
    key_variable: str
    overloaded: int
    """The status that says that the provider is overloaded."""
    too_long: str
    refused: str


PROVIDERS = [
    Provider(
        name="anthropic",
        server=FakeMessagesApi,
        url_variable="ANTHROPIC_BASE_URL",
        url_path="",
        key_variable="ANTHROPIC_API_KEY",
        overloaded=529,
        too_long="max_tokens",
        refused="refusal",
    ),
    Provider(
        name="openai",
        server=FakeChatApi,
        url_variable="OPENAI_BASE_URL",
        url_path="/v1",
        key_variable="OPENAI_API_KEY",
        overloaded=503,
        too_long="length",
        refused="content_filter",
    ),
]


@pytest.fixture(params=PROVIDERS, ids=lambda provider: provider.name)
def provider(request) -> Provider:
    return request.param


@pytest.fixture
async def model(provider) -> AsyncIterator[FakeModel]:
    server = provider.server()
    async with server.open():
        yield server


@pytest.fixture
async def create(provider, model, tmp_path) -> AsyncIterator[Callable[..., BaseAdapter]]:
    """A function that creates the adapter; keywords are further variables."""
    created: list[BaseAdapter] = []

    def create(**more: Any) -> BaseAdapter:
        environment = {provider.url_variable: model.url + provider.url_path, provider.key_variable: "a-key"} | more
        created.append(make_adapter(provider.name, tmp_path, model=f"{provider.name}/best-1", **environment))
        return created[-1]

    yield create
    for adapter in created:
        await adapter.close()


async def test_the_answer_is_streamed_as_the_model_writes_it(create, model, provider):
    model.replies = [Reply(pieces=["Hel", "lo."])]

    assert await read_answer(create(), "hi") == ["Hel", "lo."]
    (request,) = model.requests
    assert (request["model"], request["stream"]) == ("best-1", True)
    assert request["messages"] == [{"role": "user", "content": "hi"}]
    assert "a-key" in (model.headers[0].get("X-Api-Key") or model.headers[0]["Authorization"])


async def test_a_conversation_is_remembered_and_another_is_not_mixed_in(create, model):
    adapter = create()
    model.replies = [Reply(pieces=["one"]), Reply(pieces=["two"]), Reply(pieces=["three"])]
    for text, context in [("1", "a"), ("2", "a"), ("3", "b")]:
        await read_answer(adapter, text, context_id=context)

    assert [len(request["messages"]) for request in model.requests] == [1, 3, 1]
    roles = [message["role"] for message in model.requests[1]["messages"]]
    assert roles == ["user", "assistant", "user"]


async def test_instructions_of_the_template_are_the_system_prompt(create, model, tmp_path):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "system-prompt.md").write_text("Be brief.")
    model.replies = [Reply(pieces=["ok"]), Reply(pieces=["ok"])]
    await read_answer(create(), "hi")
    await read_answer(create(INSTRUCTIONS="Be long."), "hi")

    first, second = (request.get("system") or request["messages"][0]["content"] for request in model.requests)
    assert (first, second) == ("Be brief.", "Be long.")


async def test_the_model_uses_tools_and_receives_their_results(create, model):
    model.replies = [Reply(pieces=["Let me add."], calls=[ADD, ADD]), Reply(pieces=["It is 42."])]

    assert "".join(await read_answer(create(tools=[Adder()]), "2 + 40?")) == "Let me add.\n\nIt is 42."
    (offered,) = model.requests[0]["tools"]
    assert offered.get("function", offered)["name"] == "add"
    assert find_results(model) == [("call_0", "42"), ("call_1", "42")] or find_results(model) == [
        ("call_1", "42"),
        ("call_2", "42"),
    ]


@pytest.mark.parametrize(
    ("call", "result"),
    [
        (("multiply", "{}"), "there is no tool multiply"),
        (("add", "[1]"), "the arguments must be a JSON object"),
        (("add", '{"a": 1}'), "the tool failed: 'b'"),
    ],
    ids=["unknown", "no-object", "raises"],
)
async def test_a_call_that_fails_is_a_result_for_the_model(create, model, call, result):
    model.replies = [Reply(calls=[call]), Reply(pieces=["Sorry."])]

    assert await read_answer(create(tools=[Adder()]), "?") == ["Sorry."]
    assert [text for _, text in find_results(model)] == [result]


async def test_a_broken_tool_does_not_break_the_turn(create, model):
    model.replies = [Reply(calls=[ADD]), Reply(pieces=["Sorry."])]

    assert await read_answer(create(tools=[BrokenTool()]), "?") == ["Sorry."]
    assert find_results(model)[0][1] == "the tool failed: the abacus is lost"


async def test_a_model_that_never_stops_calling_tools_fails_the_task(create, model):
    model.replies = [Reply(calls=[ADD])] * 3

    _, why = await read_until_the_end(create(tools=[Adder()], MODEL_MAX_ROUNDS="3"), "?", TurnFailed)

    assert why == "The model asked for more than 3 rounds of tools."


async def test_a_busy_provider_is_asked_again(create, model, provider):
    overloaded = Reply(status=provider.overloaded, headers=BUSY.headers)
    model.replies = [BUSY, overloaded, Reply(pieces=["at last"])]

    assert await read_answer(create(), "hi") == ["at last"]


@pytest.mark.parametrize(
    ("status", "why", "state"),
    [
        (401, "refused the credentials", RuntimeState.WEDGED),
        (403, "refused the credentials", RuntimeState.WEDGED),
        (404, "does not know the model", RuntimeState.WELL),
        (429, "limits the requests", RuntimeState.WELL),
        (400, "refused the request", RuntimeState.WELL),
        (500, "provider failed", RuntimeState.WELL),
        (None, "is overloaded", RuntimeState.WELL),
    ],
    ids=["401", "403", "404", "429", "400", "500", "overloaded"],
)
async def test_a_refusal_of_the_provider_fails_the_task_in_our_own_words(create, model, provider, status, why, state):
    adapter = create(MODEL_MAX_RETRIES="1")
    model.replies = [Reply(status=status or provider.overloaded, headers=BUSY.headers)] * 2

    _, text = await read_until_the_end(adapter, "hi", TurnFailed)

    assert why in text
    assert "secret-marker" not in text
    assert adapter.runtime_state() is state


async def test_an_agent_whose_key_works_again_is_well_again(create, model):
    adapter = create()
    model.replies = [Reply(status=401), Reply(pieces=["hi"])]
    await read_until_the_end(adapter, "hi", TurnFailed)
    await read_answer(adapter, "hi")

    assert adapter.runtime_state() is RuntimeState.WELL


@pytest.mark.parametrize(
    "fault", [{"is_cut": True}, {"ends_early": True}], ids=["connection-closed", "stream-without-its-end"]
)
async def test_a_stream_that_is_cut_fails_the_task_and_is_not_remembered(create, model, fault):
    adapter = create()
    model.replies = [Reply(pieces=["half an ans"], **fault), Reply(pieces=["whole"])]

    so_far, why = await read_until_the_end(adapter, "hi", TurnFailed)

    assert (so_far, why) == (
        "half an ans",
        "The connection to the model provider broke before the answer had ended.",
    )
    await read_answer(adapter, "again")
    assert model.requests[-1]["messages"] == [{"role": "user", "content": "again"}]


async def test_an_error_inside_a_stream_fails_the_task(create, model):
    model.replies = [Reply(pieces=["half"], error_inside="overloaded_error")]

    so_far, why = await read_until_the_end(create(), "hi", TurnFailed)

    assert (so_far, why) == ("half", "The model provider is overloaded; try again later.")


async def test_a_provider_that_cannot_be_reached_fails_the_task(create, provider):
    adapter = create(**{provider.url_variable: "http://127.0.0.1:9/v1", "MODEL_MAX_RETRIES": "1"})

    _, why = await read_until_the_end(adapter, "hi", TurnFailed)

    assert "connection to the model provider" in why


async def test_an_answer_that_is_too_long_fails_and_a_refused_one_is_rejected(create, model, provider):
    model.replies = [Reply(pieces=["long"], stop=provider.too_long), Reply(stop=provider.refused)]
    adapter = create()

    _, too_long = await read_until_the_end(adapter, "hi", TurnFailed)
    _, refused = await read_until_the_end(adapter, "hi", TurnRejected)

    assert too_long == "The answer of the model was longer than it may be."
    assert refused == "The model refused to answer."


async def test_a_message_without_text_is_rejected(create):
    with pytest.raises(TurnRejected):
        await read_answer(create(), " \n")


@pytest.mark.parametrize("missing", ["key", "model"])
def test_without_a_key_or_a_model_the_agent_does_not_start(provider, tmp_path, missing):
    environment = {} if missing == "key" else {provider.key_variable: "a-key"}
    with pytest.raises(AdapterError, match="is required"):
        make_adapter(provider.name, tmp_path, model=None if missing == "model" else "m", **environment)


def test_a_long_conversation_forgets_its_oldest_turns_whole():
    history = History()
    for number in range(5):
        history.add_turn([{"role": "user", "content": str(number) * (MAX_TURN_CHARACTERS // 3)}, {"role": "assistant"}])

    assert [message["content"][0] for message in history.messages[::2]] == ["3", "4"]


async def test_only_the_last_conversations_are_remembered():
    conversations = Conversations(History, max_conversations=2)
    for context in ["a", "b", "a", "c"]:
        async with conversations.use(context) as history:
            history.add_turn([context])

    async with conversations.use("a") as history:
        assert history.messages == ["a", "a"]
    async with conversations.use("b") as history:
        assert history.messages == []


def find_results(model: FakeModel) -> list[tuple[str, str]]:
    """Return the results in the last request, as pairs of the call's id and the text."""
    messages = model.requests[-1]["messages"]
    blocks = messages[-1]["content"] if isinstance(messages[-1]["content"], list) else []
    return [(block["tool_use_id"], block["content"]) for block in blocks] or [
        (message["tool_call_id"], message["content"]) for message in messages if message["role"] == "tool"
    ]
