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
from tests.rpc import running

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


async def test_family_is_found_and_strangers_are_not(registry, tree):
    root = await registry.register(tree["root"])

    found = await registry.directions.discover(agent(tree["a"].id), root.id, "")

    assert (found.workspace.name, found.url) == ("root", "")
    for caller, target in (("aa", "b"), ("a", "other")):
        with pytest.raises(DiscoveryDenied):
            await registry.directions.discover(agent(tree[caller].id), tree[target].id, "")
    with pytest.raises(DiscoveryDenied):
        await registry.directions.discover(agent(tree["a"].id), UNKNOWN, "")


async def test_a_workspace_speaks_for_itself_whatever_it_claims(registry, tree):
    with pytest.raises(DiscoveryDenied):
        await registry.directions.discover(agent(tree["aa"].id), tree["b"].id, tree["a"].id)


async def test_who_is_nobody_must_say_for_whom_it_asks(registry, tree):
    polled = await registry.register(tree["root"], url="", delivery_mode=DeliveryMode.POLL)

    with pytest.raises(CallerRequired):
        await registry.directions.discover(ANONYMOUS, polled.id, "")
    assert (await registry.directions.discover(ANONYMOUS, polled.id, tree["a"].id)).workspace.id == polled.id
    assert (await registry.directions.discover(ADMIN, polled.id, "")).url == ""


async def test_an_organisation_finds_its_own(registry, tree):
    with pytest.raises(OrgAccessDenied):
        await registry.directions.discover(org(tree["root"].id), tree["other"].id, "")
    with pytest.raises(OrgAccessDenied):
        await registry.directions.discover(org(tree["root"].id), UNKNOWN, "")


async def test_what_is_not_there_is_not_found(registry, tree):
    gone = await registry.create(runtime="external")
    await registry.removal.remove(ADMIN, gone.id, confirm=False, purge=False)

    with pytest.raises(WorkspaceNotFound):
        await registry.directions.discover(ADMIN, UNKNOWN, "")
    with pytest.raises(WorkspaceRemoved):
        await registry.directions.discover(ADMIN, gone.id, "")


async def test_what_cannot_be_reached_now_says_how_it_is(registry, tree):
    with pytest.raises(WorkspaceUnavailable) as refusal:
        await registry.directions.discover(ADMIN, tree["root"].id, "")

    assert refusal.value.details == {"status": "provisioning"}


@pytest.mark.covers("REG-47", "REG-48")
async def test_an_external_address_is_judged_again_before_it_is_told(registry, engine, database_url, auth, clock):
    near = await external(registry, "http://127.0.0.1:9")
    far = await external(registry, "http://8.8.8.8:9")
    async with running([], speaker="registry") as line:
        strict = build_parts(engine, database_url, auth, line, clock, rules=AddressRules())

        with pytest.raises(AddressUnsafe):
            await strict.directions.discover(ADMIN, near.id, "")
        assert (await strict.directions.discover(ADMIN, far.id, "")).url == "http://8.8.8.8:9"
    assert (await registry.directions.discover(ADMIN, near.id, "")).url == "http://127.0.0.1:9"


# Peers ───────────────────────────────────────────────────────────────────────


async def peers(registry, workspace, caller=ADMIN, **said):
    page = await registry.directions.peers(caller, workspace.id, **{"query": "", "size": 100, "token": ""} | said)
    return [entry.workspace.name for entry in page.entries], page.next


async def test_peers_are_siblings_then_children_then_the_parent(registry, tree):
    assert await peers(registry, tree["a"]) == (["b", "aa", "root"], "")
    assert await peers(registry, tree["root"]) == (["other", "a", "b"], "")
    assert await peers(registry, tree["aa"]) == (["a"], "")


async def test_the_roots_of_others_are_not_shown_to_an_organisation(registry, tree):
    own = org(tree["root"].id)
    assert await peers(registry, tree["root"], own) == (["a", "b"], "")
    assert await peers(registry, tree["a"], own) == (["b", "aa", "root"], "")


async def test_peers_are_searched_by_name_and_role_whatever_the_case(registry, tree):
    assert await peers(registry, tree["root"], query=" COOK ") == (["a"], "")
    assert await peers(registry, tree["b"], query="boss") == (["root"], "")
    assert await peers(registry, tree["a"], query="%") == ([], "")


async def test_peers_are_read_in_pages_across_the_groups(registry, tree):
    seen, token = [], ""
    while True:
        names, token = await peers(registry, tree["a"], size=1, token=token)
        seen += names
        if not token:
            break

    assert seen == ["b", "aa", "root"]


async def test_the_removed_are_nobodys_peers(registry, tree):
    late = await registry.create("late", runtime="external", parent_id=tree["root"].id)
    await registry.removal.remove(ADMIN, late.id, confirm=False, purge=False)

    assert "late" not in (await peers(registry, tree["a"]))[0]


@pytest.mark.parametrize("token", ["x", encode_page_token(["7", "a", "b"]), encode_page_token(["0"])])
async def test_a_page_token_that_was_not_given_is_refused(registry, tree, token):
    with pytest.raises(InvalidPageToken):
        await peers(registry, tree["a"], token=token)


# Access ──────────────────────────────────────────────────────────────────────


async def test_who_may_talk_is_told_only_of_what_may_be_seen(registry, tree):
    async def may(caller, one, other):
        return await registry.directions.may_talk(caller, tree[one].id if one in tree else one, tree[other].id)

    assert await may(ADMIN, "a", "b")
    assert not await may(ADMIN, "aa", "b")
    assert not await may(ADMIN, UNKNOWN, "b")
    assert await may(ADMIN, "root", "other")
    assert not await may(org(tree["root"].id), "root", "other")
    assert await may(agent(tree["aa"].id), "a", "b")
    assert not await may(agent(tree["aa"].id), "root", "other")


async def test_a_route_tells_the_target_and_whether_it_may_be_used(registry, tree):
    assert await registry.directions.route(tree["b"].id, "") == (await registry.get(tree["b"].id), True)
    assert (await registry.directions.route(tree["b"].id, tree["a"].id))[1]
    assert not (await registry.directions.route(tree["b"].id, tree["aa"].id))[1]
    assert not (await registry.directions.route(tree["b"].id, UNKNOWN))[1]
    with pytest.raises(WorkspaceNotFound):
        await registry.directions.route(UNKNOWN, "")
