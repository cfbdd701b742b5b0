"""Discovery, peers, communication rights and routes."""

import pytest

from services.chassis.addresses import AddressRules
from services.chassis.pages import InvalidPageToken, encode_page_token
from services.registry.errors.workspaces import (
    AddressUnsafe,
    CallerRequired,
    DiscoveryDenied,
    OrgAccessDenied,
    WorkspaceNotFound,
    WorkspaceRemoved,
    WorkspaceUnavailable,
)
from services.registry.workspace.model import DeliveryMode
from tests.registry.conftest import ADMIN, ANONYMOUS, agent, build_parts, org
from tests.rpc import open_channel_to

UNKNOWN = "7b2e7c9e-0000-4000-8000-000000000000"


@pytest.fixture
async def tree(registry):
    """root: a (with aa), b; and another root."""
    root = await registry.create("root", role="Boss")
    a = await registry.create("a", parent_id=root.id, role="Head cook")
    return {
        "root": root,
        "a": a,
        "b": await registry.create("b", parent_id=root.id),
        "aa": await registry.create("aa", parent_id=a.id),
        "other": await registry.create("other"),
    }


async def external(registry, url, **said):
    return await registry.register(
        await registry.create(runtime="external", **said), url=url, delivery_mode=DeliveryMode.PUSH
    )


# Discovery ───────────────────────────────────────────────────────────────────


async def test_an_agent_discovers_only_workspaces_it_may_communicate_with(registry, tree):
    root = await registry.register(tree["root"])

    found = await registry.discovery.discover(agent(tree["a"].id), root.id, "")

    assert (found.workspace.name, found.url) == ("root", "")
    for caller, target in (("aa", "b"), ("a", "other")):
        with pytest.raises(DiscoveryDenied):
            await registry.discovery.discover(agent(tree[caller].id), tree[target].id, "")
    with pytest.raises(DiscoveryDenied):
        await registry.discovery.discover(agent(tree["a"].id), UNKNOWN, "")


async def test_the_identity_of_an_agent_overrides_the_caller_id(registry, tree):
    with pytest.raises(DiscoveryDenied):
        await registry.discovery.discover(agent(tree["aa"].id), tree["b"].id, tree["a"].id)


async def test_an_anonymous_caller_must_name_a_caller_id(registry, tree):
    polled = await registry.register(tree["root"], url="", delivery_mode=DeliveryMode.POLL)

    with pytest.raises(CallerRequired):
        await registry.discovery.discover(ANONYMOUS, polled.id, "")
    assert (await registry.discovery.discover(ANONYMOUS, polled.id, tree["a"].id)).workspace.id == polled.id
    assert (await registry.discovery.discover(ADMIN, polled.id, "")).url == ""


async def test_an_organisation_token_discovers_only_its_organisation(registry, tree):
    with pytest.raises(OrgAccessDenied):
        await registry.discovery.discover(org(tree["root"].id), tree["other"].id, "")
    with pytest.raises(OrgAccessDenied):
        await registry.discovery.discover(org(tree["root"].id), UNKNOWN, "")


async def test_unknown_and_removed_workspaces_are_not_discovered(registry, tree):
    gone = await registry.create(runtime="external")
    await registry.removal.remove(ADMIN, gone.id, confirm=False, purge=False)

    with pytest.raises(WorkspaceNotFound):
        await registry.discovery.discover(ADMIN, UNKNOWN, "")
    with pytest.raises(WorkspaceRemoved):
        await registry.discovery.discover(ADMIN, gone.id, "")


async def test_an_unreachable_workspace_is_refused_with_its_status(registry, tree):
    with pytest.raises(WorkspaceUnavailable) as refusal:
        await registry.discovery.discover(ADMIN, tree["root"].id, "")

    assert refusal.value.details == {"status": "provisioning"}


@pytest.mark.covers("REG-47", "REG-48")
async def test_an_external_address_is_checked_again_at_discovery(registry, engine, database_url, auth, clock):
    near = await external(registry, "http://127.0.0.1:9")
    far = await external(registry, "http://8.8.8.8:9")
    async with open_channel_to([], caller_service="registry") as line:
        strict = build_parts(engine, database_url, auth, line, clock, rules=AddressRules())

        with pytest.raises(AddressUnsafe):
            await strict.discovery.discover(ADMIN, near.id, "")
        assert (await strict.discovery.discover(ADMIN, far.id, "")).url == "http://8.8.8.8:9"
    assert (await registry.discovery.discover(ADMIN, near.id, "")).url == "http://127.0.0.1:9"


# Peers ───────────────────────────────────────────────────────────────────────


async def peers(registry, workspace, caller=ADMIN, **said):
    page = await registry.discovery.list_peers(caller, workspace.id, **{"query": "", "size": 100, "token": ""} | said)
    return [entry.workspace.name for entry in page.entries], page.next_page_token


async def test_peers_are_listed_as_siblings_then_children_then_parent(registry, tree):
    assert await peers(registry, tree["a"]) == (["b", "aa", "root"], "")
    assert await peers(registry, tree["root"]) == (["other", "a", "b"], "")
    assert await peers(registry, tree["aa"]) == (["a"], "")


async def test_an_organisation_token_does_not_list_other_roots(registry, tree):
    own = org(tree["root"].id)
    assert await peers(registry, tree["root"], own) == (["a", "b"], "")
    assert await peers(registry, tree["a"], own) == (["b", "aa", "root"], "")


async def test_peers_are_filtered_by_name_and_role_ignoring_case(registry, tree):
    assert await peers(registry, tree["root"], query=" COOK ") == (["a"], "")
    assert await peers(registry, tree["b"], query="boss") == (["root"], "")
    assert await peers(registry, tree["a"], query="%") == ([], "")


async def test_pages_of_peers_continue_across_the_groups(registry, tree):
    seen, token = [], ""
    while True:
        names, token = await peers(registry, tree["a"], size=1, token=token)
        seen += names
        if not token:
            break

    assert seen == ["b", "aa", "root"]


async def test_removed_workspaces_are_not_listed_as_peers(registry, tree):
    late = await registry.create("late", runtime="external", parent_id=tree["root"].id)
    await registry.removal.remove(ADMIN, late.id, confirm=False, purge=False)

    assert "late" not in (await peers(registry, tree["a"]))[0]


@pytest.mark.parametrize("token", ["x", encode_page_token(["7", "a", "b"]), encode_page_token(["0"])])
async def test_a_forged_page_token_is_refused(registry, tree, token):
    with pytest.raises(InvalidPageToken):
        await peers(registry, tree["a"], token=token)


# Access ──────────────────────────────────────────────────────────────────────


async def test_communication_rights_are_reported_only_for_visible_workspaces(registry, tree):
    async def may(caller, one, other):
        return await registry.discovery.may_talk(caller, tree[one].id if one in tree else one, tree[other].id)

    assert await may(ADMIN, "a", "b")
    assert not await may(ADMIN, "aa", "b")
    assert not await may(ADMIN, UNKNOWN, "b")
    assert await may(ADMIN, "root", "other")
    assert not await may(org(tree["root"].id), "root", "other")
    assert await may(agent(tree["aa"].id), "a", "b")
    assert not await may(agent(tree["aa"].id), "root", "other")


async def test_a_route_contains_the_target_and_whether_the_caller_may_use_it(registry, tree):
    assert await registry.discovery.resolve_route(tree["b"].id, "") == (await registry.get(tree["b"].id), True)
    assert (await registry.discovery.resolve_route(tree["b"].id, tree["a"].id))[1]
    assert not (await registry.discovery.resolve_route(tree["b"].id, tree["aa"].id))[1]
    assert not (await registry.discovery.resolve_route(tree["b"].id, UNKNOWN))[1]
    with pytest.raises(WorkspaceNotFound):
        await registry.discovery.resolve_route(UNKNOWN, "")
