from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from protos.a2a_proxy.v1 import activity_pb2, activity_pb2_grpc
from protos.registry.v1 import registry_pb2
from services.a2a_proxy.model import Activity
from services.chassis import clients
from services.chassis.errors import InvalidArgument, NotFound, PermissionDenied, Unauthenticated
from services.chassis.identity import Identity, Kind
from tests.a2a_proxy.fake_gateway import A_WORKSPACE, ADMIN, TARGET, message_body
from tests.a2a_proxy.running_proxy import RunningProxy


async def list_activity(proxy: RunningProxy, sender: Identity = ADMIN, **fields) -> list[activity_pb2.Activity]:
    async with clients.open_channel(proxy.address, caller_service="gateway") as channel:
        stub = activity_pb2_grpc.ActivityServiceStub(channel.channel)
        request = activity_pb2.ListActivityRequest(workspace_id=TARGET, **fields)
        return list((await channel.call(stub.ListActivity, request, on_behalf_of=sender)).activities)


async def test_a_workspace_can_read_its_own_activity_only(proxy, gateway):
    proxy.registry.set_workspace(TARGET, delivery_mode=registry_pb2.DELIVERY_MODE_POLL)
    await gateway.send_message(message_body())

    (found,) = await list_activity(proxy, Identity(kind=Kind.WORKSPACE, name=TARGET))
    assert (found.method, found.request_body) == ("message/send", message_body())
    assert not found.HasField("response_body")
    with pytest.raises(PermissionDenied):
        await list_activity(proxy, A_WORKSPACE)
    with pytest.raises(Unauthenticated):
        await list_activity(proxy, Identity(kind=Kind.SERVICE, name="registry"))


@pytest.mark.covers("ACT-01")
async def test_a_page_has_a_hundred_rows_or_as_many_as_were_asked_for_the_newest_first(proxy):
    proxy.registry.set_workspace(TARGET)  # the rows of a workspace that the registry does not know are purged
    at = datetime.now(UTC)
    rows = [
        Activity(id=str(uuid4()), workspace_id=TARGET, activity_type="agent_log", method=str(number), created_at=at)
        for number in range(150)
    ]
    async with proxy.store.begin() as tx:
        await tx.append(rows)

    for asked, count in (({}, 100), ({"page_size": 120}, 120), ({"page_size": 500}, 150), ({"page_size": 501}, 100)):
        found = await list_activity(proxy, **asked)
        assert [row.method for row in found] == [str(number) for number in range(149, 149 - count, -1)]


async def test_an_invalid_query_is_refused(proxy):
    with pytest.raises(NotFound) as error:
        await list_activity(proxy, since_id=str(uuid4()))
    assert error.value.reason == "ACTIVITY_CURSOR_GONE"
    with pytest.raises(InvalidArgument) as window:
        await list_activity(proxy, since=timedelta())
    assert window.value.message == "since_secs must be a positive integer"
