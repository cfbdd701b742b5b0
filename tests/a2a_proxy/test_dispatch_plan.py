"""Which address, dialect and version a message gets, from the card of its target."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from molecule_a2a.model import Dialect
from services.a2a_proxy.dispatch_plan import plan_dispatch
from services.a2a_proxy.model import AgentInterface, Push, Route, Status, WorkspaceId

ADDRESS = "http://agent.test:9/a2a"
PUSH = Push(ADDRESS, trusted=True)


def offers(version: str, url: str = ADDRESS, *, binding: str = "JSONRPC", tenant: str = "") -> AgentInterface:
    return AgentInterface(url=url, binding=binding, version=version, tenant=tenant)


def plan(*interfaces: AgentInterface, method: str = "message/send", version: str = "", push: Push = PUSH):
    route = Route(workspace_id=WorkspaceId("w"), status=Status.ONLINE, interfaces=interfaces)
    return plan_dispatch(route, push, method=method, version=version)


@pytest.mark.parametrize(
    ("method", "stated", "sent"),
    [
        ("message/send", "", ""),
        ("message/send", "0.3", "0.3"),
        ("tasks/get", "1.0", "0.3"),
        ("GetTask", "", "1.0"),
        ("GetTask", "1", "1.0"),
        ("GetTask", "1.0", "1.0"),
        ("GetTask", "1.1", "1.1"),
        ("GetTask", "0.3", "1.0"),
        ("vendor", "0.2.5", "0.2.5"),
        ("vendor", "1.0", "1.0"),
        ("vendor", "1", "1.0"),
    ],
)
def test_an_agent_that_takes_the_request_as_it_is_is_told_the_version_of_the_method(method, stated, sent):
    assert plan(method=method, version=stated).version == sent


@pytest.mark.parametrize(
    ("method", "interfaces", "agent"),
    [
        ("message/send", [offers("1.0")], Dialect.CURRENT),
        ("message/stream", [offers("1.0")], Dialect.CURRENT),
        ("SendMessage", [offers("0.3")], Dialect.LEGACY),
        ("GetTask", [offers("0.2")], Dialect.LEGACY),
    ],
)
def test_an_agent_of_the_other_dialect_is_told_its_own_version(method, interfaces, agent):
    found = plan(*interfaces, method=method)

    assert (found.is_converted, found.agent, found.version) == (True, agent, agent.value)
    assert found.caller is not agent


@pytest.mark.parametrize("method", ["message/send", "SendMessage", "tasks/get", "GetTask"])
@pytest.mark.parametrize("interfaces", [[], [offers("1.0"), offers("0.3")], [offers("0.3"), offers("1.0")]])
def test_an_agent_that_serves_the_dialect_or_says_nothing_receives_the_request_unchanged(method, interfaces):
    assert not plan(*interfaces, method=method).is_converted


@pytest.mark.parametrize(
    "interface", [offers("0.3", binding="GRPC"), offers("1.0", binding="OTHER"), offers("2.0"), offers("x")]
)
def test_an_interface_that_cannot_be_used_counts_as_none(interface):
    assert not plan(interface).is_converted


def test_grpc_is_the_last_choice_and_leaves_the_address_of_the_others_alone():
    rpc = offers("1.0", "http://agent.test:50051", binding="GRPC", tenant="t")
    found = plan(rpc, method="GetTask")
    assert (found.binding, found.push, found.agent, found.version, found.tenant) == (
        *("GRPC", PUSH, Dialect.CURRENT, "1.0", "t"),
    )
    for binding in ("JSONRPC", "HTTP+JSON"):
        found = plan(rpc, offers("0.3", "http://agent.test:8000/a2a", binding=binding), method="GetTask")
        assert (found.binding, found.push, found.has_own_authority) == (binding, PUSH, False)


def test_a_method_that_a2a_does_not_have_is_never_converted():
    assert not plan(offers("1.0"), method="vendor/method").is_converted


@pytest.mark.parametrize("binding", ["HTTP+JSON", "GRPC"])
@pytest.mark.parametrize(("stated", "caller"), [("", Dialect.LEGACY), ("1.0", Dialect.CURRENT)])
def test_a_method_that_a2a_does_not_have_is_left_to_no_agent_of_another_binding(binding, stated, caller):
    found = plan(offers("1.0", binding=binding), method="vendor/method", version=stated)

    assert (found.binding, found.is_converted, found.caller) == (binding, True, caller)
    assert not plan(offers("1.0", binding=binding), offers("0.3"), method="vendor/method").is_converted


def test_a_stated_version_decides_the_form_of_the_answer():
    found = plan(offers("0.3"), offers("1.0"), method="message/send", version="1.0")

    assert (found.agent, found.caller, found.is_converted) == (Dialect.LEGACY, Dialect.CURRENT, True)


def test_the_only_interface_is_dialled_at_the_address_of_the_agent():
    assert plan(offers("1.0", "http://0.0.0.0:8000/other")).push == PUSH


def test_another_interface_with_the_same_host_is_dialled_at_its_own_path():
    found = plan(offers("0.3", "http://inside:1/old"), offers("1.0", "http://inside:1/new?x=1"), method="SendMessage")

    assert found.push == Push("http://agent.test:9/new?x=1", trusted=True)
    assert not found.has_own_authority


def test_the_interface_that_the_address_names_is_dialled_there():
    found = plan(offers("0.3", "http://agent.test:9/old"), offers("1.0", ADDRESS + "/"), method="SendMessage")

    assert found.push == PUSH


def test_another_interface_with_another_host_is_checked_and_gets_no_secret():
    found = plan(offers("0.3"), offers("1.0", "https://other.test/new"), method="SendMessage")

    assert found.push == Push("https://other.test/new", trusted=False)
    assert found.has_own_authority


@pytest.mark.parametrize("url", ["http://[::1", "ftp://other.test/", "/new", "other"])
def test_an_interface_without_an_http_address_is_dialled_at_the_address_of_the_agent(url):
    assert plan(offers("0.3"), offers("1.0", url), method="SendMessage").push == PUSH


def test_the_tenant_is_the_one_of_the_chosen_interface():
    assert plan(offers("0.3"), offers("1.0", tenant="t"), method="GetTask").tenant == "t"


@given(
    st.lists(
        st.builds(
            AgentInterface, url=st.text(), binding=st.sampled_from(["JSONRPC", "HTTP+JSON", "GRPC"]), version=st.text()
        ),
        max_size=4,
    ),
    st.sampled_from(["message/send", "GetTask", "vendor"]),
    st.sampled_from(["", "0.3", "1.0", "1"]),
)
def test_every_card_gives_a_plan(interfaces, method, version):
    found = plan(*interfaces, method=method, version=version)

    assert found.push.address
    assert found.push.trusted <= PUSH.trusted
