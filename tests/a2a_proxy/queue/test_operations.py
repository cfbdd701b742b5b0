"""Tests of what senders, targets and operators see of accepted messages and do with them, over gRPC."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from google.protobuf.duration_pb2 import Duration

from protos.a2a_proxy.v1 import queue_pb2 as pb
from protos.a2a_proxy.v1 import queue_pb2_grpc as rpc
from protos.registry.v1 import registry_pb2
from services.a2a_proxy.queue.model import MessageState
from services.chassis import clients
from services.chassis.errors import ServiceError
from services.chassis.identity import Identity, Kind
from tests.a2a_proxy.fake_gateway import A_WORKSPACE, ADMIN, CALLER, TARGET
from tests.a2a_proxy.queue.queue_factory import new_id, new_message
from tests.a2a_proxy.queue.queue_steps import accept, get, set_columns
from tests.a2a_proxy.running_proxy import RunningProxy
from tests.waiting import eventually

ORG = str(uuid4())

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)

THE_TARGET = Identity(kind=Kind.WORKSPACE, name=TARGET, generation=1)

A_STRANGER = Identity(kind=Kind.WORKSPACE, name=str(uuid4()), generation=1)

ITS_ORG = Identity(kind=Kind.ORG, name="token", org_id=ORG, scopes=frozenset({"read", "write", "a2a", "admin"}))

ANOTHER_ORG = Identity(kind=Kind.ORG, name="other", org_id=str(uuid4()), scopes=ITS_ORG.scopes)


class Operator:
    """Calls the queue of a proxy as somebody."""

    def __init__(self, channel, caller: Identity = ADMIN) -> None:
        self._channel = channel
        self._stub = rpc.QueueServiceStub(channel.channel)
        self._caller = caller

    def as_caller(self, caller: Identity) -> "Operator":
        return Operator(self._channel, caller)

    async def call(self, method: str, request):
        return await self._channel.call(getattr(self._stub, method), request, on_behalf_of=self._caller)

    async def get(self, id_: str, workspace_id: str = TARGET) -> pb.QueuedMessage:
        request = pb.GetQueuedMessageRequest(id=id_, workspace_id=workspace_id)
        return (await self.call("GetQueuedMessage", request)).message

    async def list_ids(self, **fields) -> list[str]:
        return [
            one.id for one in (await self.call("ListQueuedMessages", pb.ListQueuedMessagesRequest(**fields))).messages
        ]


@pytest.fixture
async def operator(proxy: RunningProxy) -> AsyncIterator[Operator]:
    """An operator of a proxy whose target is paused, so that its messages stay where a test puts them."""
    paused = registry_pb2.WORKSPACE_STATUS_PAUSED
    proxy.registry.set_workspace(TARGET, status=paused, org_id=ORG)
    proxy.registry.set_workspace(CALLER, org_id=ORG)
    async with clients.open_channel(proxy.address, caller_service="gateway") as channel:
        yield Operator(channel)


async def refuse(asking) -> str:
    """Return the reason with which a call is refused."""
    with pytest.raises(ServiceError) as refusal:
        await asking
    return refusal.value.reason


@pytest.mark.covers("A2A-29")
@pytest.mark.parametrize("caller", [ADMIN, A_WORKSPACE, THE_TARGET, ITS_ORG], ids=lambda caller: caller.kind.value)
async def test_sender_target_and_operators_see_a_message(proxy, operator, caller):
    [message] = await accept(proxy.queue, new_message(TARGET, "m-1", caller_id=CALLER))

    found = await operator.as_caller(caller).get(message.id)

    assert (found.id, found.workspace_id, found.caller_id) == (message.id, TARGET, CALLER)
    assert found.state == pb.QUEUE_STATE_QUEUED


@pytest.mark.covers("A2A-29")
@pytest.mark.parametrize("caller", [A_STRANGER, ANOTHER_ORG], ids=lambda caller: caller.kind.value)
async def test_all_others_are_answered_as_if_the_message_were_unknown(proxy, operator, caller):
    [message] = await accept(proxy.queue, new_message(TARGET, "m-1", caller_id=CALLER))
    other = operator.as_caller(caller)

    assert await refuse(other.get(message.id)) == await refuse(other.get(str(uuid4()))) == "QUEUE_ITEM_NOT_FOUND"


@pytest.mark.covers("A2A-29")
async def test_a_message_is_not_found_under_another_target(proxy, operator):
    [message] = await accept(proxy.queue, new_message(TARGET, "m-1"))

    assert await refuse(operator.get(message.id, CALLER)) == "QUEUE_ITEM_NOT_FOUND"


@pytest.mark.covers("BEY-01")
async def test_operators_list_messages_page_by_page_and_those_of_an_organisation_only_their_own(proxy, operator):
    elsewhere = new_id()
    sent = [new_message(TARGET, str(number)) for number in range(5)]
    accepted = await accept(proxy.queue, *sent, new_message(elsewhere, "x"))
    newest_first = [message.id for message in accepted][::-1]

    first = await operator.call("ListQueuedMessages", pb.ListQueuedMessagesRequest(page_size=4))
    second = await operator.call(
        "ListQueuedMessages", pb.ListQueuedMessagesRequest(page_size=4, page_token=first.next_page_token)
    )

    assert [one.id for one in (*first.messages, *second.messages)] == newest_first
    assert second.next_page_token == ""
    own = await eventually(lambda: operator.as_caller(ITS_ORG).list_ids())
    assert own == newest_first[1:]
    assert await operator.as_caller(ANOTHER_ORG).list_ids() == []
    assert await operator.list_ids(workspace_id=elsewhere) == newest_first[:1]
    assert await operator.list_ids(states=[pb.QUEUE_STATE_DEAD]) == []


@pytest.mark.covers("BEY-01")
@pytest.mark.parametrize(
    ("method", "request_type", "state"),
    [
        ("RequeueMessage", pb.RequeueMessageRequest, pb.QUEUE_STATE_QUEUED),
        ("ResolveMessage", pb.ResolveMessageRequest, pb.QUEUE_STATE_COMPLETED),
        ("DropMessage", pb.DropMessageRequest, pb.QUEUE_STATE_DROPPED),
    ],
)
@pytest.mark.parametrize("stuck", [MessageState.DEAD, MessageState.UNKNOWN])
async def test_an_operator_ends_or_repeats_a_message_that_is_stuck(proxy, operator, method, request_type, state, stuck):
    [message] = await accept(proxy.queue, new_message(TARGET, "m-1"))
    await set_columns(proxy.queue, [message.id], state=stuck.value, failures=5)

    changed = (await operator.call(method, request_type(id=message.id))).message

    assert changed.state == state
    stored = await get(proxy.queue, message.id)
    assert stored.attempts[-1].outcome in {"requeued", "resolved", "dropped"}
    account = (await operator.call("ListQueueAccounts", pb.ListQueueAccountsRequest())).accounts[0]
    assert account.accepted == 1 == account.queued + account.completed + account.dropped


@pytest.mark.covers("BEY-01")
@pytest.mark.parametrize("method", ["RequeueMessage", "ResolveMessage"])
async def test_a_message_that_waits_is_neither_repeated_nor_resolved(proxy, operator, method):
    [message] = await accept(proxy.queue, new_message(TARGET, "m-1"))

    assert await refuse(operator.call(method, getattr(pb, f"{method}Request")(id=message.id))) == "WRONG_QUEUE_STATE"
    assert (await get(proxy.queue, message.id)).state is MessageState.QUEUED


@pytest.mark.covers("BEY-01")
async def test_only_messages_that_waited_too_long_are_dropped_as_stale(proxy, operator):
    old, new = await accept(proxy.queue, new_message(TARGET, "old"), new_message(TARGET, "new"))
    await set_columns(proxy.queue, [old.id], accepted_at=LONG_AGO)

    request = pb.DropStaleMessagesRequest(age=Duration(seconds=3600))
    dropped = (await operator.call("DropStaleMessages", request)).dropped

    assert dropped == 1
    assert "older than 60 minutes" in (await get(proxy.queue, old.id)).last_error
    assert (await get(proxy.queue, new.id)).state is MessageState.QUEUED


@pytest.mark.parametrize(
    ("method", "request_", "reason"),
    [
        ("ListQueuedMessages", pb.ListQueuedMessagesRequest(page_token="x"), "INVALID_PAGE_TOKEN"),
        ("ListQueuedMessages", pb.ListQueuedMessagesRequest(states=[99]), "INVALID_QUEUE_REQUEST"),
        ("DropStaleMessages", pb.DropStaleMessagesRequest(), "INVALID_QUEUE_REQUEST"),
        ("DropMessage", pb.DropMessageRequest(id=str(uuid4()), note="x" * 1001), "INVALID_QUEUE_REQUEST"),
        ("RequeueMessage", pb.RequeueMessageRequest(id=str(uuid4())), "QUEUE_ITEM_NOT_FOUND"),
    ],
)
async def test_a_request_that_is_invalid_changes_nothing(operator, method, request_, reason):
    assert await refuse(operator.call(method, request_)) == reason
