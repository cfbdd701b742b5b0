"""Tests that no token reaches further or lives longer than the token that minted it, on a real PostgreSQL."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.auth.errors import InvalidBearer, OrgNotFound, ScopeMissing, TokenNotFound
from services.auth.model.authorization import AuthorizationRequest, Gate, OrgBearer, WorkspaceBearer
from services.auth.model.placements import OrgMembership, WorkspaceId
from services.auth.model.revocations import RevokedToken
from services.auth.model.tokens import OrgTokenRequest, RegistrationAuth, Scope, TokenId
from services.auth.rules import scopes, token_text
from services.auth.tokens.org_tokens import OrgTokenService
from services.auth.tokens.sessions import SessionService
from services.auth.tokens.workspace_tokens import WorkspaceTokenService
from services.chassis.errors import (
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    ServiceError,
    Unavailable,
)
from services.chassis.identity import Identity, Kind
from tests.auth.conftest import RACE_ROUNDS

ADMIN = Identity(kind=Kind.ADMIN)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


@dataclass(eq=False)
class Minted:
    """A token as the test knows it: its text and id, and the tokens without which it must not be live."""

    text: str
    token_id: TokenId
    org_id: str = ""
    workspace_id: str = ""
    dominators: list["Minted"] = field(default_factory=list)
    successor: "Minted | None" = None

    @property
    def succession(self) -> list["Minted"]:
        """The token, and those that took its place one after the other."""
        return [self] if self.successor is None else [self, *self.successor.succession]


class TokenWorld:
    """Two organisations, the services of auth, and every token that was minted."""

    def __init__(self, store, audit_log, clock, placements, credential_service, authorizer) -> None:
        self.clock = clock
        self.placements = placements
        self.credentials = credential_service
        self.authorizer = authorizer
        self.workspace_tokens = WorkspaceTokenService(store, audit_log=audit_log, clock=clock)
        self.org_tokens = OrgTokenService(store, audit_log=audit_log, clock=clock)
        self.sessions = SessionService(
            store, audit_log=audit_log, clock=clock, admin_digest=b"d" * 32, lifetime=timedelta(hours=1)
        )
        self.orgs: dict[str, str] = {}
        self.minted: list[Minted] = []
        self.generation = 0

    async def create(self) -> None:
        """Create two roots, each with a member."""
        for _ in range(2):
            root, member = str(uuid4()), str(uuid4())
            self.orgs |= {root: root, member: root}
        await self.placements.confirm([OrgMembership(WorkspaceId(one), org) for one, org in self.orgs.items()])

    @property
    def roots(self) -> list[str]:
        return [one for one, org in self.orgs.items() if one == org]

    async def find_bearer(self, token: Minted) -> WorkspaceBearer | OrgBearer | None:
        """Return the live token as a bearer."""
        try:
            return await self.authorizer.authorize(token.text, AuthorizationRequest(gate=Gate.A2A))
        except (InvalidBearer, ScopeMissing):
            return None

    async def identify(self, caller: Minted | None) -> Identity | None:
        """Return the identity of a caller as the gateway forwards it; the operator for `None`."""
        if caller is None:
            return ADMIN
        match await self.find_bearer(caller):
            case WorkspaceBearer() as bearer:
                return Identity(kind=Kind.WORKSPACE, name=bearer.workspace_id, token_id=bearer.token_id)
            case OrgBearer() as bearer:
                granted = frozenset(scopes.expand_scopes(bearer.scopes))
                return Identity(kind=Kind.ORG, name=bearer.token_id, org_id=bearer.org_id, scopes=granted)
            case _:
                return None

    async def _authenticate(self, caller: Minted | None) -> Identity:
        """Return the identity of a caller whose token is live; the gateway passes on no other request."""
        identity = await self.identify(caller)
        if identity is None:
            raise InvalidBearer
        return identity

    async def mint_for_workspace(self, caller: Minted | None, workspace_id: str, **fields) -> Minted:
        """Mint a workspace token on behalf of a caller."""
        identity = await self.identify(caller) or Identity(kind=Kind.WORKSPACE, name="x", token_id=str(uuid4()))
        minted = await self.workspace_tokens.mint(identity, WorkspaceId(workspace_id), **fields)
        return self._add(minted, [caller], workspace_id=workspace_id)

    async def mint_for_org(self, caller: Minted | None, org_id: str, *wanted: Scope, **fields) -> Minted:
        """Mint an organisation token on behalf of a caller."""
        request = OrgTokenRequest(org_id=org_id, scopes=frozenset(wanted) or frozenset({Scope.ADMIN}), **fields)
        minted = await self.org_tokens.mint(await self._authenticate(caller), request)
        return self._add(minted, [caller], org_id=org_id)

    async def start_instance(self, workspace_id: str) -> Minted:
        """Issue the token of a new instance."""
        self.generation += 1
        issued = await self.credentials.issue(WorkspaceId(workspace_id), generation=self.generation)
        self.minted.append(Minted(issued.text, issued.token_id, workspace_id=workspace_id))
        return self.minted[-1]

    async def create_external(self, caller: Minted, workspace_id: str) -> Minted:
        """Issue the token of a workspace that an organisation token creates."""
        issued = await self.credentials.issue(
            WorkspaceId(workspace_id), generation=None, org_token_id=TokenId(caller.token_id)
        )
        self.minted.append(Minted(issued.text, issued.token_id, workspace_id=workspace_id, dominators=[caller]))
        return self.minted[-1]

    async def rotate(self, caller: Minted | None, token: Minted, grace: timedelta) -> Minted:
        """Rotate a token on behalf of a caller."""
        identity = await self._authenticate(caller)
        if token.workspace_id:
            service, about = self.workspace_tokens, (WorkspaceId(token.workspace_id), token.token_id)
        else:
            service, about = self.org_tokens, (token.token_id,)
        rotated = await service.rotate(identity, *about, grace=grace)
        dominators = token.dominators if caller in {None, token} else [caller]
        token.successor = self._add(rotated, dominators, workspace_id=token.workspace_id, org_id=token.org_id)
        return token.successor

    async def revoke(self, token: Minted) -> None:
        """Revoke a token as the operator."""
        if token.workspace_id:
            await self.workspace_tokens.revoke(ADMIN, WorkspaceId(token.workspace_id), token.token_id)
        else:
            await self.org_tokens.revoke(ADMIN, token.token_id)

    async def move(self, workspace_id: str, org_id: str) -> None:
        """Let a workspace join an organisation, with those below it."""
        moved = [one for one, org in self.orgs.items() if workspace_id in {one, org}]
        memberships = [OrgMembership(WorkspaceId(one), org_id) for one in moved]
        self.orgs |= dict.fromkeys(moved, org_id)
        await self.placements.place(memberships)
        await self.placements.confirm(memberships)

    async def find_violation(self) -> str | None:
        """Return how a live token exceeds the tokens that it comes from."""
        live = {id(token): await self.find_bearer(token) for token in self.minted}
        for token in self.minted:
            bearer = live[id(token)]
            if bearer is None:
                continue
            for dominator in token.dominators:
                above = [live[id(one)] for one in dominator.succession]
                if not any(one is not None and self._is_within(bearer, one) for one in above):
                    return f"{bearer} exceeds {above}"
        return None

    def _is_within(self, bearer, above) -> bool:
        is_shorter = above.expires_at is None or (
            bearer.expires_at is not None and bearer.expires_at <= above.expires_at
        )
        match bearer, above:
            case WorkspaceBearer(), WorkspaceBearer():
                return is_shorter and bearer.workspace_id == above.workspace_id
            case WorkspaceBearer(), OrgBearer():
                return is_shorter and self.orgs[bearer.workspace_id] == above.org_id and Scope.ADMIN in above.scopes
            case OrgBearer(), OrgBearer():
                excess = scopes.find_excess_scope(bearer.scopes, above.scopes)
                return is_shorter and bearer.org_id == above.org_id and excess is None
            case _:
                return False

    def _add(self, minted, dominators, **about) -> Minted:
        token = Minted(
            minted.text, minted.record.token_id, **about, dominators=[one for one in dominators if one is not None]
        )
        self.minted.append(token)
        return token


@pytest.fixture
async def world(store, audit_log, clock, placements, credential_service, authorizer) -> TokenWorld:
    world = TokenWorld(store, audit_log, clock, placements, credential_service, authorizer)
    await world.create()
    return world


# Random sequences ─────────────────────────────────────────────────────────────

ACTIONS = ["workspace", "org", "rotate", "rotate_own", "revoke", "wait", "start", "external", "move", "bar"]

WEIGHTED = ACTIONS[:2] * 6 + ACTIONS[2:5] * 3 + ACTIONS[5:]

steps = st.lists(
    st.tuples(st.sampled_from(WEIGHTED), st.integers(0, 30), st.integers(0, 30), st.integers(0, 4)),
    min_size=1,
    max_size=25,
)

SCOPES = [(Scope.ADMIN,), (Scope.READ, Scope.WRITE, Scope.A2A), (Scope.A2A,), (Scope.ADMIN,), (Scope.WRITE, Scope.A2A)]

LIFETIMES = [None, timedelta(seconds=3), MINUTE, DAY, None]


async def take_step(world: TokenWorld, step: tuple[str, int, int, int]) -> None:
    """Carry out one step of a random sequence; most callers are tokens that were minted before."""
    action, first, second, third = step
    callers = [None, *reversed(world.minted)]
    caller = callers[first % len(callers)]
    target = world.minted[second % len(world.minted)] if world.minted else None
    if caller is not None and await world.identify(caller) is None:
        return
    if action in {"workspace", "org", "external"}:
        await mint_something(world, action, caller, second, LIFETIMES[third])
    elif action in {"rotate", "rotate_own", "revoke"}:
        await end_something(world, action, caller, target, MINUTE * (third % 2))
    else:
        await change_something(world, action, first, second, third)


async def mint_something(
    world: TokenWorld, action: str, caller: Minted | None, number: int, lifetime: timedelta | None
) -> None:
    workspace_id = list(world.orgs)[number % len(world.orgs)]
    expires_at = None if lifetime is None else world.clock.now() + lifetime
    match action:
        case "workspace":
            own = caller.workspace_id if caller else ""
            await world.mint_for_workspace(caller, own or workspace_id, expires_at=expires_at)
        case "org" if caller is None or caller.org_id:
            org_id = caller.org_id if caller else world.roots[number % len(world.roots)]
            await world.mint_for_org(caller, org_id, *SCOPES[number % len(SCOPES)], expires_at=expires_at)
        case "external" if caller and caller.org_id == world.orgs[workspace_id]:
            await world.create_external(caller, workspace_id)


async def end_something(
    world: TokenWorld, action: str, caller: Minted | None, target: Minted | None, grace: timedelta
) -> None:
    match action:
        case "rotate" if target and (caller is None or may_rotate(world, caller, target)):
            await world.rotate(caller, target, grace)
        case "rotate_own" if caller and may_rotate(world, caller, caller):
            await world.rotate(caller, caller, grace)
        case "revoke" if target:
            await world.revoke(target)


async def change_something(world: TokenWorld, action: str, first: int, second: int, third: int) -> None:
    workspace_id = list(world.orgs)[second % len(world.orgs)]
    match action:
        case "wait":
            world.clock.advance(seconds=[1, 4, 61, 3_600, 100_000][third])
        case "start":
            await world.start_instance(workspace_id)
        case "move" if third == 0:
            await world.move(workspace_id, world.roots[first % len(world.roots)])
        case "bar" if third == 0:
            await world.placements.bar(WorkspaceId(workspace_id))


def may_rotate(world: TokenWorld, caller: Minted, target: Minted) -> bool:
    """Whether the gates let the caller rotate the token at all."""
    if caller.workspace_id:
        return caller.workspace_id == target.workspace_id
    return (world.orgs[target.workspace_id] if target.workspace_id else target.org_id) == caller.org_id


@pytest.mark.covers("TOK-10", "TOK-11", "TOK-12")
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps)
async def test_no_live_token_exceeds_the_token_that_minted_it(
    store, audit_log, clock, placements, credential_service, authorizer, taken
):
    world = TokenWorld(store, audit_log, clock, placements, credential_service, authorizer)
    await world.create()
    for step in taken:
        with suppress(FailedPrecondition, InvalidArgument, NotFound, PermissionDenied, ResourceExhausted):
            await take_step(world, step)
        assert await world.find_violation() is None


# Examples ─────────────────────────────────────────────────────────────────────


async def list_live(world: TokenWorld, *tokens: Minted) -> list[bool]:
    return [await world.find_bearer(token) is not None for token in tokens]


@pytest.mark.covers("TOK-12")
async def test_a_revocation_ends_everything_below_and_publishes_it(world, published):
    root, member = list(world.orgs)[:2]
    chief = await world.mint_for_org(None, root)
    below = await world.mint_for_org(chief, root)
    token = await world.mint_for_workspace(below, member)
    leaf = await world.mint_for_workspace(token, member)
    other = await world.mint_for_workspace(None, member)
    session = await world.sessions.open(await world.identify(below))

    await world.revoke(chief)

    assert await list_live(world, chief, below, token, leaf, other) == [False] * 4 + [True]
    assert await world.sessions.find_expiry(session.text) is None
    ended = [*(one.text for one in (chief, below, token, leaf)), session.text]
    assert {target.digest for target in await published() if isinstance(target, RevokedToken)} == {
        token_text.digest_token(one) for one in ended
    }


@pytest.mark.covers("TOK-11")
async def test_what_a_short_lived_token_mints_is_short_lived(world, clock):
    root, member = list(world.orgs)[:2]
    soon: datetime = clock.now() + timedelta(seconds=3)
    for short in (
        await world.mint_for_org(None, root, expires_at=soon),
        await world.mint_for_workspace(None, member, expires_at=soon),
    ):
        minted = await world.mint_for_workspace(short, member)
        longer = await world.mint_for_workspace(short, member, expires_at=soon + DAY)
        assert [(await world.find_bearer(one)).expires_at for one in (minted, longer)] == [soon, soon]
    clock.advance(seconds=3)

    assert not any(await list_live(world, *world.minted))


@pytest.mark.covers("TOK-10")
@pytest.mark.parametrize("scope", [Scope.READ, Scope.WRITE, Scope.A2A])
async def test_only_the_scope_admin_mints_and_rotates_workspace_tokens(world, scope):
    root, member = list(world.orgs)[:2]
    known = await world.mint_for_workspace(None, member)
    caller = await world.mint_for_org(None, root, scope, Scope.A2A)

    with pytest.raises(ScopeMissing) as refusal:
        await world.mint_for_workspace(caller, member)
    assert refusal.value.details == {"required_scope": "admin"}
    with pytest.raises(ScopeMissing):
        await world.rotate(caller, known, MINUTE)
    assert await list_live(world, known) == [True]


@pytest.mark.covers("TOK-12")
async def test_a_successor_takes_over_what_the_replaced_token_minted(world, clock):
    root, member = list(world.orgs)[:2]
    old = await world.mint_for_org(None, root)
    below = await world.mint_for_workspace(old, member)
    fresh = await world.rotate(None, old, MINUTE)
    in_grace = await world.mint_for_workspace(old, member)
    assert await list_live(world, old, fresh, below, in_grace) == [True] * 4

    clock.advance(minutes=1)
    assert await list_live(world, old, fresh, below, in_grace) == [False, True, True, False]
    await world.revoke(fresh)
    assert await list_live(world, fresh, below) == [False, False]


@pytest.mark.covers("TOK-11", "TOK-12")
async def test_a_caller_that_rotates_the_token_of_another_gains_nothing_that_outlives_it(world, clock):
    root, member = list(world.orgs)[:2]
    eternal = await world.mint_for_workspace(None, member)
    below = await world.mint_for_workspace(eternal, member)
    short = await world.mint_for_org(None, root, expires_at=clock.now() + timedelta(seconds=3))
    stolen = await world.rotate(short, eternal, MINUTE)
    own = await world.rotate(short, await world.mint_for_org(None, root), MINUTE)

    assert [(await world.find_bearer(one)).expires_at for one in (stolen, own, below)] == [
        (await world.find_bearer(short)).expires_at
    ] * 3
    await world.revoke(short)
    assert await list_live(world, stolen, own, below) == [False] * 3


@pytest.mark.covers("TOK-13")
async def test_what_an_instance_mints_ends_with_its_generation_and_is_not_swept_alone(world, clock):
    member = WorkspaceId(list(world.orgs)[1])
    instance = await world.start_instance(member)
    minted = await world.mint_for_workspace(instance, member)
    other = await world.mint_for_workspace(None, member)
    clock.advance(minutes=6)
    world.authorizer._last_used.record_use(instance.token_id)
    await world.authorizer._last_used.save()

    assert await world.credentials.revoke_stale([member], unused_for=5 * MINUTE) == 0
    assert await list_live(world, instance, minted) == [True, True]
    await world.authorizer._last_used.save()
    clock.advance(minutes=6)
    assert await world.credentials.revoke_stale([member], unused_for=5 * MINUTE) == 1
    assert await list_live(world, instance, minted, other) == [False, False, True]

    instance = await world.start_instance(member)
    minted = await world.mint_for_workspace(instance, member)
    assert (await world.find_bearer(minted)).generation == world.generation
    await world.start_instance(member)
    assert await list_live(world, instance, minted) == [False, False]


@pytest.mark.covers("TOK-12")
async def test_what_an_organisation_minted_ends_when_the_workspace_leaves_it(world, published):
    (root, member), (other, _) = list(world.orgs)[:2], list(world.orgs)[2:]
    chief = await world.mint_for_org(None, root)
    minted = await world.mint_for_workspace(chief, member)
    leaf = await world.mint_for_workspace(minted, member)
    free = await world.mint_for_workspace(None, member)
    await world.move(member, other)

    assert await list_live(world, chief, minted, leaf, free) == [True, False, False, True]
    assert RevokedToken(token_text.digest_token(leaf.text)) in await published()


@pytest.mark.covers("TOK-12")
async def test_a_token_of_a_former_root_stays_ended_when_it_becomes_a_root_again(world):
    root, other = world.roots
    chief = await world.mint_for_org(None, root)
    below = await world.mint_for_org(chief, root)
    await world.move(root, other)
    assert await list_live(world, chief, below) == [False, False]
    await world.move(root, root)

    assert await list_live(world, chief, below) == [False, False]
    with pytest.raises(TokenNotFound):
        await world.revoke(chief)


@pytest.mark.covers("TOK-12")
async def test_a_removal_or_purge_of_the_root_ends_what_its_tokens_minted(world):
    for end in (world.placements.bar, world.placements.forget):
        root, member = str(uuid4()), str(uuid4())
        world.orgs |= {root: root, member: root}
        await world.placements.confirm([OrgMembership(WorkspaceId(one), root) for one in (root, member)])
        chief = await world.mint_for_org(None, root)
        minted = await world.mint_for_workspace(chief, member)
        await end(WorkspaceId(root))

        assert await list_live(world, chief, minted) == [False, False]
        with pytest.raises(OrgNotFound):
            await world.mint_for_org(None, root)


@pytest.mark.covers("TOK-12")
async def test_a_token_that_is_revoked_meanwhile_mints_nothing_that_survives_it(world):
    root, member = list(world.orgs)[:2]
    for _ in RACE_ROUNDS:
        chief = await world.mint_for_org(None, root)
        middle = await world.mint_for_org(chief, root)
        identity = await world.identify(middle)
        outcomes = await asyncio.gather(
            world.workspace_tokens.mint(identity, WorkspaceId(member)),
            world.rotate(None, middle, MINUTE),
            world.revoke(chief),
            world.mint_for_org(middle, root),
            return_exceptions=True,
        )
        assert all(not isinstance(one, Exception) or isinstance(one, ServiceError) for one in outcomes)
        assert not any(isinstance(one, Unavailable) for one in outcomes)
        assert await world.find_violation() is None
        assert list(await world.workspace_tokens.list(ADMIN, WorkspaceId(member), limit=50, offset=0)) == []


@pytest.mark.covers("TOK-11")
async def test_a_token_that_has_ended_meanwhile_is_followed_by_none_at_registration(credential_service, workspace):
    issued = await credential_service.issue(workspace, generation=None)
    await credential_service.revoke(workspace, only=issued.token_id)

    ensured = await credential_service.ensure_credentials(workspace, auth=RegistrationAuth.AUTHENTICATED)
    assert ensured.token is None


async def test_a_caller_whose_token_is_unknown_mints_nothing(world):
    member = WorkspaceId(list(world.orgs)[1])
    unnamed = Identity(kind=Kind.WORKSPACE, name=member)
    with pytest.raises(Unavailable):
        await world.workspace_tokens.mint(unnamed, member)
    with pytest.raises(InvalidBearer):
        await world.workspace_tokens.mint(Identity(kind=Kind.WORKSPACE, name=member, token_id=str(uuid4())), member)
    with pytest.raises(InvalidBearer):
        await world.credentials.issue(member, generation=None, org_token_id=TokenId(str(uuid4())))
