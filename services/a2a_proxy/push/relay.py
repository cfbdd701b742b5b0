"""Has agents send their push notifications to the plane, and shows callers their own configs."""

import os
import re
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TypeAlias

import structlog

from molecule_a2a.dialects import find_dialect
from molecule_a2a.error_objects import build_error
from molecule_a2a.errors import INVALID_PARAMS, ConversionFailed
from molecule_a2a.methods import Method, find_method
from molecule_a2a.model import Dialect, Operation
from services.a2a_proxy.answered_tasks import find_task
from services.a2a_proxy.model import (
    Answer,
    Answered,
    Busy,
    Failed,
    JsonObject,
    Route,
    SendState,
    Stream,
    WorkspaceId,
)
from services.a2a_proxy.push import configs, rules
from services.a2a_proxy.push.model import CallerConfig, ConfigReference, PushTarget
from services.a2a_proxy.push.sealing import NONCE_BYTES, SECRET_BYTES, build_digest, derive_key, seal, unseal
from services.a2a_proxy.push.store import PushStore, PushTransaction
from services.a2a_proxy.sending import CALLER_HEADER, NOTIFICATIONS_HEADER, VERSION_HEADER, Outgoing
from services.a2a_proxy.stream_tasks import TaskFinder
from services.a2a_proxy.task_references import MESSAGE_OPERATIONS
from services.chassis import strict_json
from services.chassis.errors import Unavailable
from services.chassis.large_bodies import run_by_size

log = structlog.get_logger()

MAX_TARGETS_PER_OWNER = 10_000
"""Targets that one caller may have at one workspace."""

TOO_MANY_TARGETS = "invalid params: too many push notification configs of this caller at this workspace"

NOT_SUPPORTED = "the agent does not send push notifications, as its card says"

PUSH_NOTIFICATION_NOT_SUPPORTED = -32003

ReadCard: TypeAlias = Callable[[WorkspaceId], Awaitable[bytes | None]]
Result: TypeAlias = Answered | Busy | Failed
Send: TypeAlias = Callable[[Outgoing], Awaitable[Result]]


class PushRelay:
    """Puts addresses of the plane in the place of those that callers name."""

    def __init__(
        self,
        store: PushStore,
        *,
        platform_url: str,
        external_platform_url: str,
        read_card: ReadCard,
    ) -> None:
        """Agents of the plane know it by `platform_url`, external ones by the other URL, if there is one.

        `read_card` returns the card of a workspace, if it has one.
        """
        self._store = store
        self._read_card = read_card
        self._platform_url = platform_url
        self._external_platform_url = external_platform_url or platform_url

    def concerns(self, outgoing: Outgoing) -> bool:
        """Whether a message may be about push notification configs."""
        return configs.concerns(outgoing.method, outgoing.body, has_webhooks=outgoing.has_webhooks)

    async def send(self, outgoing: Outgoing, route: Route, send: Send) -> Result:
        """Send a message by `send` with addresses of the plane, and return the answer with those of its callers.

        Raises `Unavailable` if the configs in an answer cannot be read.
        """
        method, size = find_method(outgoing.method), len(outgoing.body)
        if method is None:
            return await send(outgoing)
        parsed = await run_by_size(size, strict_json.parse, outgoing.body)
        base = self._external_platform_url if route.external else self._platform_url
        new_secrets: list[str] = []
        rewritten = configs.rewrite_request(parsed, method.operation, _make_addresses(base, new_secrets))
        request = _Request(parsed, method, _choose_dialect(method, outgoing), route.workspace_id, ())
        is_about_configs = bool(rewritten.configs) or method.operation not in MESSAGE_OPERATIONS
        targets: list[PushTarget] = []
        try:
            refusal = await self._find_refusal(request, rewritten.configs) if is_about_configs else None
            if refusal is None and rewritten.configs:
                targets = _build_targets(request, outgoing, rewritten.configs, new_secrets)
                refusal = await self._add(request, targets)
        except Unavailable as error:
            return Failed(error)  # nothing is sent, so a queued message is sent again
        if refusal is not None:
            return Answered(refusal)
        if not targets:
            return await self._receive(request, await send(outgoing))
        body = await run_by_size(size, strict_json.dump, rewritten.request)
        result = await send(replace(outgoing, body=body))
        return await self._receive(replace(request, digests=tuple(target.digest for target in targets)), result)

    async def _find_refusal(self, request: "_Request", named: Sequence[CallerConfig]) -> Answer | None:
        """Return the error for a config that no receiver could be notified by; raises `Unavailable`."""
        for config in named:
            if fault := rules.find_fault(config.members, len(strict_json.dump(config.members))):
                return _refuse(request, INVALID_PARAMS, fault)
        card = await self._read_card(request.target_id)
        if card is None or await run_by_size(len(card), rules.declares_notifications, card):
            return None
        return _refuse(request, PUSH_NOTIFICATION_NOT_SUPPORTED, NOT_SUPPORTED)

    async def _add(self, request: "_Request", targets: Sequence[PushTarget]) -> Answer | None:
        """Store targets, or return the error if their owner has too many; raises `Unavailable`."""
        async with self._store.begin() as tx:
            if await tx.make_room(targets[0], added=len(targets), most=MAX_TARGETS_PER_OWNER):
                await tx.add(targets)
                return None
        return _refuse(request, INVALID_PARAMS, f"{TOO_MANY_TARGETS}: at most {MAX_TARGETS_PER_OWNER}")

    async def _receive(self, request: "_Request", result: Result) -> Result:
        """Note what an answer says about targets, and return it as its caller reads it."""
        if not isinstance(result, Answered):
            await self._delete([] if _may_have_arrived(result) else request.digests)
            return result
        if isinstance(result.answer, Stream):
            stream = result.answer
            is_noted = request.digests and request.method.operation in MESSAGE_OPERATIONS
            return Answered(replace(stream, chunks=self._note_stream(request, stream.chunks))) if is_noted else result
        if request.method.operation in MESSAGE_OPERATIONS:
            await self._note_task(request, result.answer)
            return result
        return Answered(await self._restore(request, result.answer))

    async def _note_task(self, request: "_Request", answer: Answer) -> None:
        """Store the task of a message; an answer without one brings no notifications."""
        if not request.digests:
            return
        task = await run_by_size(len(answer.body), find_task, answer.body)
        task_id = request.reference.task_id if task is None else task.id
        if task_id is None or strict_json.find_member(answer.body, "result") is None:
            await self._delete(request.digests)
        else:
            async with self._begin_after_answer() as tx:
                await tx.name(request.target_id, request.digests, task_id=task_id, config_id=None)

    async def _note_stream(
        self, request: "_Request", chunks: AsyncGenerator[bytes, None]
    ) -> AsyncGenerator[bytes, None]:
        """Yield a stream unchanged; the task of its message is stored before its caller learns of it."""
        finder = TaskFinder()
        async with aclosing(chunks):
            async for chunk in chunks:
                if finder.is_searching and (task := finder.feed(chunk)) is not None:
                    async with self._begin_after_answer() as tx:
                        await tx.name(request.target_id, request.digests, task_id=task.id, config_id=None)
                yield chunk

    async def _restore(self, request: "_Request", answer: Answer) -> Answer:
        """Return the answer to a request about configs with what their callers wrote."""
        try:
            response = strict_json.parse(answer.body)
        except strict_json.InvalidJson:
            response = None
        if not isinstance(response, dict) or "result" not in response:
            await self._delete(request.digests)
            return answer
        result, reference = response["result"], request.reference
        if request.method.operation is Operation.DELETE_PUSH_CONFIG:
            if reference.task_id is not None:
                async with self._begin_after_answer() as tx:
                    await tx.delete_config(
                        request.target_id, reference.task_id, reference.config_id or reference.task_id
                    )
            return answer
        if request.digests and reference.task_id is not None:
            async with self._begin_after_answer() as tx:
                await tx.name(
                    request.target_id,
                    request.digests,
                    task_id=reference.task_id,
                    config_id=configs.find_config_id(result),
                )
        found = configs.list_secrets(result)
        if not found:
            return answer
        restored = configs.restore_result(result, await self._open(request, found), request.dialect)
        return replace(answer, body=strict_json.dump({**response, "result": restored}))

    async def _open(self, request: "_Request", found: Sequence[str]) -> dict[str, tuple[JsonObject, Dialect]]:
        """Return the configs of those secrets that belong to the task of a request, which its caller may use.

        An agent may answer with the addresses of other tasks. Those of other callers stay secret.
        """
        async with self._store.begin() as tx:
            targets = await tx.find([build_digest(secret) for secret in found])
        return {
            secret: (strict_json.parse(unseal(target.sealed, derive_key(secret))), target.dialect)
            for secret in found
            if (target := targets.get(build_digest(secret))) is not None
            and target.target_id == request.target_id
            and target.task_id is not None
            and target.task_id == request.reference.task_id
        }

    async def _delete(self, digests: Sequence[bytes]) -> None:
        if digests:
            async with self._begin_after_answer() as tx:
                await tx.delete(digests)

    @asynccontextmanager
    async def _begin_after_answer(self) -> AsyncIterator[PushTransaction]:
        """Open a transaction whose failure does not take the answer of the agent from its caller."""
        try:
            async with self._store.begin() as tx:
                yield tx
        except Unavailable:
            log.warning("push notification target not updated")


@dataclass(frozen=True, slots=True)
class _Request:
    """A request that may be about configs, and the targets that it has made."""

    body: JsonObject
    method: Method
    dialect: Dialect
    """The dialect in which the caller reads the answer."""
    target_id: WorkspaceId
    digests: tuple[bytes, ...]

    @property
    def reference(self) -> ConfigReference:
        return configs.read_reference(self.body, self.method)


def _build_targets(
    request: _Request, outgoing: Outgoing, named: Sequence[CallerConfig], new_secrets: Sequence[str]
) -> list[PushTarget]:
    """Return the targets of configs, for each of which there is a secret."""
    notified = find_dialect(outgoing.headers.get(NOTIFICATIONS_HEADER, "")) or request.dialect
    return [
        PushTarget(
            digest=build_digest(secret),
            target_id=request.target_id,
            owner_id=_find_owner(outgoing),
            owner_token_id=outgoing.caller_token_id,
            task_id=request.reference.task_id,
            config_id=config.id,
            dialect=notified,
            sealed=_seal(configs.convert_config(config.members, request.method.dialect, notified), secret),
        )
        for config, secret in zip(named, new_secrets, strict=True)
    ]


def _seal(members: JsonObject, secret: str) -> bytes:
    return seal(strict_json.dump(members), derive_key(secret), nonce=os.urandom(NONCE_BYTES))


def _may_have_arrived(result: Busy | Failed) -> bool:
    """Whether the agent may have the message although it has not answered it."""
    if isinstance(result, Busy):
        return False
    details = result.error.details
    return details.get("delivery", SendState.NOT_SENT) != SendState.NOT_SENT or "delivery_confirmed" in details


def _make_addresses(base: str, made: list[str]) -> Iterator[str]:
    """Yield addresses of the plane, each with a new secret, which is added to `made`."""
    while True:
        made.append(secrets.token_urlsafe(SECRET_BYTES))
        yield configs.build_address(base, made[-1])


def _choose_dialect(method: Method, outgoing: Outgoing) -> Dialect:
    version = outgoing.headers.get(VERSION_HEADER, "")
    return (find_dialect(version) if version else None) or method.dialect


def _find_owner(outgoing: Outgoing) -> WorkspaceId | None:
    """Return the workspace that sends a message; the plane itself sends under other names."""
    caller = outgoing.headers.get(CALLER_HEADER, "")
    return WorkspaceId(caller) if _UUID.fullmatch(caller) else None


_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def _refuse(request: _Request, code: int, fault: str) -> Answer:
    """Return the JSON-RPC error for a config that is refused."""
    error = build_error(ConversionFailed(code, fault), request.dialect)
    body = {"jsonrpc": "2.0", "id": request.body.get("id"), "error": error}
    return Answer(status=HTTPStatus.OK, headers={"content-type": "application/json"}, body=strict_json.dump(body))
