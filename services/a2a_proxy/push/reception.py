"""Stores the notifications that agents send; they are sent to their receivers afterwards."""

from collections.abc import Awaitable, Callable

from services.a2a_proxy.errors import InvalidNotification, PushTargetNotFound, TooManyNotifications
from services.a2a_proxy.model import WorkspaceId
from services.a2a_proxy.push.model import NewNotification, PushTarget, WaitingLimits
from services.a2a_proxy.push.notifications import InvalidBodyError, read_notification
from services.a2a_proxy.push.sealing import SECRET, build_digest, derive_key
from services.a2a_proxy.push.store import PushStore
from services.chassis.large_bodies import run_by_size

FOREIGN_TASK = "the push notification is about another task"

MayBeOwner = Callable[[WorkspaceId, str, WorkspaceId | None, str | None], Awaitable[bool]]
"""Whether a task of a workspace may be that of a workspace or a token, as far as it is known whose it is."""


class PushReception:
    """Takes notifications that bear the secret of a target."""

    def __init__(
        self,
        store: PushStore,
        *,
        may_be_owner: MayBeOwner,
        on_stored: Callable[[], None],
        limits: WaitingLimits | None = None,
    ) -> None:
        """`on_stored` is called after each notification that is stored."""
        self._store = store
        self._may_be_owner = may_be_owner
        self._on_stored = on_stored
        self._limits = limits or WaitingLimits()

    async def check(self, secret: str) -> PushTarget:
        """Return the target of a secret; raises `PushTargetNotFound` and `Unavailable`."""
        digest = build_digest(secret)
        if SECRET.fullmatch(secret):
            async with self._store.begin() as tx:
                found = await tx.find([digest])
            if digest in found:
                return found[digest]
        raise PushTargetNotFound

    async def receive(self, secret: str, body: bytes) -> None:
        """Store a notification.

        Raises `PushTargetNotFound`, `InvalidNotification`, `TooManyNotifications` and `Unavailable`.
        """
        target = await self.check(secret)
        try:
            read = await run_by_size(len(body), read_notification, body, target.dialect)
        except InvalidBodyError as error:
            raise InvalidNotification(str(error)) from None
        owner = (target.owner_id, target.owner_token_id)
        if target.task_id is None and not await self._may_be_owner(target.target_id, read.task_id, *owner):
            raise InvalidNotification(FOREIGN_TASK)
        notification = NewNotification(
            digest=target.digest,
            key=derive_key(secret),
            task_id=read.task_id,
            body=read.body,
            reads_task=read.reads_task,
        )
        await self._append(notification)
        self._on_stored()

    async def _append(self, notification: NewNotification) -> None:
        async with self._store.begin() as tx:
            target = await tx.lock(notification.digest)
            if target is None:
                raise PushTargetNotFound
            if target.task_id not in {None, notification.task_id}:
                raise InvalidNotification(FOREIGN_TASK)
            if not await tx.has_room(target, len(notification.body), self._limits):
                raise TooManyNotifications
            await tx.append(target, notification)
