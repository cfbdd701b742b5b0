"""Identity, access and errors, over real gRPC."""

import asyncio
from datetime import timedelta

import grpc
import pytest
import structlog

from protos.a2a_proxy.v1 import activity_pb2, activity_pb2_grpc
from protos.auth.v1 import auth_pb2, auth_pb2_grpc
from protos.provisioner.v1 import provisioner_pb2, provisioner_pb2_grpc
from services.chassis import clients, errors, identity, rpc
from services.chassis.identity import Identity, Kind
from services.chassis.service import STOP_GRACE, Servicer
from tests.rpc import open_channel_to, serve

WORKSPACE = Identity(kind=Kind.WORKSPACE, name="w1", generation=3)
ADMIN = Identity(kind=Kind.ADMIN)


class RecordingActivity(activity_pb2_grpc.ActivityServiceServicer):
    """Answers with an empty list and records the callers."""

    def __init__(self):
        self.callers = []

    async def ListActivity(self, request, context):
        self.callers.append(identity.current())
        return activity_pb2.ListActivityResponse()


class FailingProvisioner(provisioner_pb2_grpc.ProvisionerServiceServicer):
    """Raises `error`."""

    def __init__(self, error):
        self.error = error

    async def CheckInstance(self, request, context):
        raise self.error


class AbsentBackend(errors.Unavailable):
    reason = "NO_BACKEND"
    domain = "molecule.provisioner.v1"
    message = "provisioner not available"


class CountingProvisioner(FailingProvisioner):
    """Raises `error`, and counts the calls."""

    calls = 0

    async def CheckInstance(self, request, context):
        self.calls += 1
        raise self.error


class FlakyProvisioner(provisioner_pb2_grpc.ProvisionerServiceServicer):
    """Unavailable at the first call only."""

    def __init__(self):
        self.calls = 0

    async def CheckInstance(self, request, context):
        self.calls += 1
        if self.calls == 1:
            raise errors.Unavailable
        return provisioner_pb2.CheckInstanceResponse()


def activity(servicer):
    contract = activity_pb2.DESCRIPTOR.services_by_name["ActivityService"]
    return Servicer(contract=contract, add=activity_pb2_grpc.add_ActivityServiceServicer_to_server, servicer=servicer)


def provisioner(servicer):
    contract = provisioner_pb2.DESCRIPTOR.services_by_name["ProvisionerService"]
    add = provisioner_pb2_grpc.add_ProvisionerServiceServicer_to_server
    return Servicer(contract=contract, add=add, servicer=servicer)


async def list_activity(channel, *, workspace="w1", on_behalf_of):
    stub = activity_pb2_grpc.ActivityServiceStub(channel.channel)
    return await channel.call(
        stub.ListActivity, activity_pb2.ListActivityRequest(workspace_id=workspace), on_behalf_of=on_behalf_of
    )


async def check_instance(channel, **limits):
    stub = provisioner_pb2_grpc.ProvisionerServiceStub(channel.channel)
    return await channel.call(stub.CheckInstance, provisioner_pb2.CheckInstanceRequest(workspace_id="w1"), **limits)


async def test_the_servicer_knows_the_caller():
    servicer = RecordingActivity()
    async with open_channel_to([activity(servicer)]) as channel:
        await list_activity(channel, on_behalf_of=WORKSPACE)
    assert servicer.callers == [WORKSPACE]


async def test_a_workspace_may_name_only_itself_in_the_request():
    servicer = RecordingActivity()
    async with open_channel_to([activity(servicer)]) as channel:
        with pytest.raises(errors.PermissionDenied):
            await list_activity(channel, workspace="w2", on_behalf_of=WORKSPACE)
    assert servicer.callers == []


@pytest.mark.parametrize("kind", [Kind.ADMIN, Kind.ORG, Kind.ANONYMOUS])
async def test_the_kinds_of_caller_in_a_rule_are_allowed(kind):
    async with open_channel_to([activity(RecordingActivity())]) as channel:
        await list_activity(channel, on_behalf_of=Identity(kind=kind, name="caller"))


async def test_a_service_needs_a_rule_that_names_it():
    async with open_channel_to([activity(RecordingActivity())]) as channel:
        with pytest.raises(errors.PermissionDenied):
            await list_activity(channel, on_behalf_of=None)
    async with open_channel_to([provisioner(FlakyProvisioner())], caller_service="registry") as channel:
        with pytest.raises(errors.PermissionDenied):
            await check_instance(channel)


async def test_only_the_gateway_may_forward_identities():
    async with open_channel_to([activity(RecordingActivity())], caller_service="a2a_proxy") as channel:
        with pytest.raises(errors.PermissionDenied):
            await list_activity(channel, on_behalf_of=ADMIN)


async def test_the_identity_of_a_service_cannot_be_forwarded():
    async with open_channel_to([provisioner(FlakyProvisioner())]) as channel:
        with pytest.raises(errors.Unauthenticated):
            await check_instance_as(channel, identity.service_identity("a2a_proxy"))


async def check_instance_as(channel, caller):
    stub = provisioner_pb2_grpc.ProvisionerServiceStub(channel.channel)
    return await channel.call(stub.CheckInstance, provisioner_pb2.CheckInstanceRequest(), on_behalf_of=caller)


async def test_a_call_without_a_service_name_is_refused():
    async with serve([activity(RecordingActivity())]) as address, grpc.aio.insecure_channel(address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await activity_pb2_grpc.ActivityServiceStub(channel).ListActivity(activity_pb2.ListActivityRequest())
    assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_an_error_arrives_unchanged():
    raised = errors.FailedPrecondition(
        "no room", details={"chain": ["a", 1], "deep": {"n": None}}, retry_in=timedelta(seconds=7)
    )
    raised.reason, raised.domain = "NO_ROOM", "molecule.test.v1"

    async with open_channel_to([provisioner(FailingProvisioner(raised))], caller_service="a2a_proxy") as channel:
        with pytest.raises(errors.FailedPrecondition) as arrived:
            await check_instance(channel)

    assert (arrived.value.reason, arrived.value.domain) == ("NO_ROOM", "molecule.test.v1")
    assert arrived.value.message == "no room"
    assert arrived.value.details == {"chain": ["a", 1], "deep": {"n": None}}
    assert arrived.value.retry_in == timedelta(seconds=7)


async def test_the_text_of_an_unexpected_error_is_withheld(capsys):
    bug = ValueError("password=hunter2")
    async with open_channel_to([provisioner(FailingProvisioner(bug))], caller_service="a2a_proxy") as channel:
        with pytest.raises(errors.InternalError) as arrived:
            await check_instance(channel)
    assert "hunter2" not in repr(arrived.value.__dict__) + str(arrived.value)


async def test_a_bug_is_logged_once_by_the_service_that_has_it():
    async with open_channel_to([provisioner(FailingProvisioner(ValueError()))], caller_service="a2a_proxy") as channel:
        with structlog.testing.capture_logs() as logged, pytest.raises(errors.InternalError):
            await check_instance(channel)
    assert [(entry["event"], "exc_info" in entry) for entry in logged] == [("call failed", True)]


async def test_an_error_made_by_grpc_is_logged_by_the_caller():
    async with open_channel_to([], caller_service="a2a_proxy") as channel:
        with structlog.testing.capture_logs() as logged, pytest.raises(errors.InternalError):
            await check_instance(channel)
    assert [entry["code"] for entry in logged] == ["UNIMPLEMENTED"]


async def test_an_unreachable_service_is_retried_until_the_timeout():
    flaky = FlakyProvisioner()
    async with open_channel_to([provisioner(flaky)], caller_service="a2a_proxy") as channel:
        await check_instance(channel)
    assert flaky.calls == 2


async def test_an_error_with_a_reason_of_its_own_is_not_retried():
    counting = CountingProvisioner(AbsentBackend())
    async with open_channel_to([provisioner(counting)], caller_service="a2a_proxy") as channel:
        with pytest.raises(errors.Unavailable, match="provisioner not available"):
            await check_instance(channel)
    assert counting.calls == 1


async def test_a_missing_service_is_unavailable(tmp_path):
    async with clients.open_channel(f"unix:{tmp_path}/nobody.sock", caller_service="a2a_proxy") as channel:
        with pytest.raises(errors.Unavailable):
            await check_instance(channel, timeout=timedelta(milliseconds=200))


class UnavailableProvisioner(CountingProvisioner):
    """Raises `error` until it is cleared."""

    async def CheckInstance(self, request, context):
        self.calls += 1
        if self.error is not None:
            raise self.error
        return provisioner_pb2.CheckInstanceResponse()


async def test_after_a_timeout_calls_try_once_until_one_succeeds():
    unavailable = UnavailableProvisioner(errors.Unavailable())
    async with open_channel_to([provisioner(unavailable)], caller_service="a2a_proxy") as channel:
        with pytest.raises(errors.Unavailable):
            await check_instance(channel)
        calls_before, unavailable.calls = unavailable.calls, 0
        with pytest.raises(errors.Unavailable):
            await check_instance(channel)
        calls_afterwards, unavailable.calls = unavailable.calls, 0

        unavailable.error = None
        await check_instance(channel)
        unavailable.error = errors.Unavailable()
        with pytest.raises(errors.Unavailable):
            await check_instance(channel, timeout=timedelta(milliseconds=300))

    assert calls_before > 5
    assert calls_afterwards == 1
    assert unavailable.calls > 2


async def test_a_call_with_a_short_timeout_does_not_make_later_calls_fail_fast():
    unavailable = UnavailableProvisioner(errors.Unavailable())
    async with open_channel_to([provisioner(unavailable)], caller_service="a2a_proxy") as channel:
        for _ in range(2):
            unavailable.calls = 0
            with pytest.raises(errors.Unavailable):
                await check_instance(channel, timeout=timedelta(milliseconds=300))

    assert unavailable.calls > 1


def test_a_contract_without_an_access_rule_is_refused():
    from grpc_health.v1 import health_pb2

    with pytest.raises(rpc.UndeclaredAccess, match=r"grpc\.health\.v1\.Health/Check does not say who may call it"):
        rpc.collect_access_rules([health_pb2.DESCRIPTOR.services_by_name["Health"]])


async def test_feeds_are_ended_when_the_service_stops():
    contract = auth_pb2.DESCRIPTOR.services_by_name["AuthService"]
    ended = asyncio.Event()

    class EndlessAuth:
        def __getattr__(self, name):
            async def watch(request, context):
                try:
                    yield auth_pb2.WatchRevocationsResponse(revision=1)
                    await asyncio.Event().wait()
                finally:
                    ended.set()

            return watch

    servicer = Servicer(contract=contract, add=auth_pb2_grpc.add_AuthServiceServicer_to_server, servicer=EndlessAuth())
    service = serve([servicer])
    address = await service.__aenter__()
    async with clients.open_channel(address, caller_service="gateway") as channel:
        stub = auth_pb2_grpc.AuthServiceStub(channel.channel)
        feed = channel.watch(stub.WatchRevocations, auth_pb2.WatchRevocationsRequest())
        assert (await anext(feed)).revision == 1

        began = asyncio.get_running_loop().time()
        await service.__aexit__(None, None, None)

        assert ended.is_set()
        assert asyncio.get_running_loop().time() - began < STOP_GRACE.total_seconds() / 2
        with pytest.raises(errors.Unavailable):
            await anext(feed)
