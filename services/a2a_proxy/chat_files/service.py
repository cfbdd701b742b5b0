"""Carries chat files between a client and the agent of a workspace; nothing of a file is kept."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, closing, contextmanager
from dataclasses import replace
from datetime import timedelta

import structlog

from services.a2a_proxy import outcome
from services.a2a_proxy.agent_client import AgentClient, AnswerForm, Dispatch
from services.a2a_proxy.chat_files import rules
from services.a2a_proxy.chat_files.rules import FileHead, FileRequest, Operation, Upload
from services.a2a_proxy.clients import RegistryClient
from services.a2a_proxy.errors import (
    InboundSecretHealed,
    InboundSecretUnavailable,
    TargetWaking,
    TooManyFileTransfers,
    WorkspaceUnreachable,
)
from services.a2a_proxy.inbound_secrets import InboundSecrets
from services.a2a_proxy.model import (
    Answer,
    DispatchFailure,
    Push,
    Route,
    Stream,
    StreamInterrupted,
    WorkspaceId,
)
from services.a2a_proxy.route_cache import RouteCache
from services.a2a_proxy.work import WorkTracker
from services.chassis import telemetry
from services.chassis.errors import ServiceError

log = structlog.get_logger()


class ChatFiles:
    """Uploads files to agents and downloads files from them."""

    def __init__(
        self,
        *,
        route_cache: RouteCache,
        agents: AgentClient,
        inbound_secrets: InboundSecrets,
        registry: RegistryClient,
        work: WorkTracker,
        idle_timeout: timedelta,
    ) -> None:
        """`idle_timeout` applies to agents that declare none."""
        self._route_cache = route_cache
        self._agents = agents
        self._inbound_secrets = inbound_secrets
        self._registry = registry
        self._work = work
        self._idle_timeout = idle_timeout
        self._transfers: Counter[WorkspaceId] = Counter()

    @asynccontextmanager
    async def open_upload(self, upload: Upload, caller: WorkspaceId | None) -> AsyncIterator["OpenUpload"]:
        """Find the agent of an upload, whose body may be sent within the block.

        Raises the `ServiceError` that says why the upload has no agent.
        """
        rules.check_caller(caller, upload.workspace_id)
        with self._count_transfer(upload.workspace_id), _log_failure(Operation.UPLOAD, upload.workspace_id):
            route, push = await self._find_agent(upload.workspace_id)
            dispatch = Dispatch(
                target=upload.workspace_id,
                push=replace(push, address=rules.build_url(push.address, rules.UPLOAD_PATH)),
                body=b"",
                headers=_build_headers(upload.request_id) | _describe_body(upload),
                idle=route.idle_timeout or self._idle_timeout,
                deadline=None,
                inbound_secret=await self._find_secret(route, Operation.UPLOAD),
                answer_form=AnswerForm.WHOLE,
                answer_headers=rules.UPLOAD_HEADERS,
                heartbeats_restart_idle=False,
            )
            yield OpenUpload(dispatch, route, self._agents, self._inbound_secrets)

    async def download(self, request: FileRequest) -> AsyncGenerator[FileHead | bytes, None]:
        """Yield the head of a file, and then its bytes as the agent sends them and the reader takes them.

        Raises the `ServiceError` that says why there is no file, or no more of it.
        """
        rules.check_path(request.path)
        with (
            self._count_transfer(request.workspace_id),
            _log_failure(Operation.DOWNLOAD, request.workspace_id),
        ):
            stream = await self._open_file(request)
            async with aclosing(stream.chunks) as chunks:
                try:
                    first = await anext(chunks, b"")  # a generator that has not begun would not close its connection
                    yield rules.describe_file(dict(stream.headers), request.path)
                    yield first
                    async for chunk in chunks:
                        yield chunk
                except StreamInterrupted:
                    raise WorkspaceUnreachable("workspace stream interrupted") from None

    async def _open_file(self, request: FileRequest) -> Stream:
        """Ask an agent for a file, and once more with another secret if it refused the one that was cached."""
        route, push = await self._find_agent(request.workspace_id)
        dispatch = Dispatch(
            target=request.workspace_id,
            push=replace(push, address=rules.build_url(push.address, rules.DOWNLOAD_PATH, file=request.path)),
            method="GET",
            body=b"",
            headers=_build_headers(request.request_id),
            idle=route.idle_timeout or self._idle_timeout,
            deadline=None,
            inbound_secret=await self._find_secret(route, Operation.DOWNLOAD),
            answer_form=AnswerForm.FILE,
            answer_headers=rules.DOWNLOAD_HEADERS,
            heartbeats_restart_idle=False,
        )
        result = await _send(self._agents, dispatch)
        if outcome.is_unauthorized(result):
            secret = await self._inbound_secrets.find_other(route, dispatch.inbound_secret)
            if secret is not None:
                result = await _send(self._agents, replace(dispatch, inbound_secret=secret))
        return rules.judge_download(result)

    async def _find_agent(self, workspace_id: WorkspaceId) -> tuple[Route, Push]:
        """Return the route to a workspace and the address of its agent; raises why there is none."""
        route = rules.check_route((await self._route_cache.find(workspace_id, None)).route)
        decision = rules.decide(route)
        if isinstance(decision, rules.Refusal):  # the cache may be older than what the caller knows of the workspace
            route = rules.check_route((await self._route_cache.fetch(workspace_id, None)).route)
            decision = rules.decide(route)
        if isinstance(decision, rules.Refusal):
            if isinstance(decision.error, TargetWaking):
                await self._registry.wake(workspace_id)
            raise decision.error
        return route, decision

    async def _find_secret(self, route: Route, operation: Operation) -> str:
        """Return the inbound secret; raises the error that names the operation if the agent cannot know one."""
        secret = await self._inbound_secrets.find_or_heal(route)
        if secret is None:
            raise InboundSecretUnavailable(operation)
        if secret.is_healed:
            raise InboundSecretHealed(operation)
        return secret.text

    @contextmanager
    def _count_transfer(self, workspace_id: WorkspaceId) -> Iterator[None]:
        """Count a transfer for the length of the block; raises `TooManyFileTransfers`."""
        if self._transfers[workspace_id] >= rules.MAX_TRANSFERS_PER_WORKSPACE:
            raise TooManyFileTransfers(rules.MAX_TRANSFERS_PER_WORKSPACE)
        self._transfers[workspace_id] += 1
        try:
            with self._work.hold(workspace_id):
                yield
        finally:
            self._transfers[workspace_id] -= 1
            if not self._transfers[workspace_id]:
                del self._transfers[workspace_id]


class OpenUpload:
    """An upload whose agent is known."""

    def __init__(self, dispatch: Dispatch, route: Route, agents: AgentClient, inbound_secrets: InboundSecrets) -> None:
        self._dispatch = dispatch
        self._route = route
        self._agents = agents
        self._inbound_secrets = inbound_secrets

    async def send(self, pieces: AsyncIterator[bytes]) -> Answer:
        """Send the body while it arrives, and return the agent's answer; raises the `ServiceError` if there is none.

        The body is read to its end, even if the agent answers before: gRPC loses the status of a call whose client
        still writes. An agent that refuses the inbound secret is not asked again, because the body has been sent; the
        next upload presents the secret that auth then tells.
        """
        with closing(UploadBody(pieces)) as body:
            result = await _send(self._agents, replace(self._dispatch, source=body))
            await body.drain()
        if outcome.is_unauthorized(result):
            await self._inbound_secrets.find_other(self._route, self._dispatch.inbound_secret)
        return rules.judge_upload(result)


class UploadBody:
    """The body of an upload. Another reader continues where one has stopped, even within a wait for the next piece."""

    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        """`pieces` are never empty. They may end with `UploadInterrupted`, which every reader then receives."""
        self._pieces = pieces
        self._next: asyncio.Future[bytes] | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while piece := await self._read():
            yield piece

    async def drain(self) -> None:
        """Read the rest."""
        while await self._read():
            pass

    def close(self) -> None:
        """Stop waiting for the next piece."""
        if self._next is not None:
            self._next.cancel()

    async def _read(self) -> bytes:
        """Return the next piece; empty at the end. gRPC allows one wait at a time, so it goes on without its reader."""
        if self._next is None:
            self._next = asyncio.ensure_future(self._read_piece())
        piece = await asyncio.shield(self._next)
        self._next = None
        return piece

    async def _read_piece(self) -> bytes:
        return await anext(self._pieces, b"")


async def _send(agents: AgentClient, dispatch: Dispatch) -> Answer | Stream | DispatchFailure:
    """Send a request. Its idle timeout is always in force: only bytes restart it, and no feed brings them."""
    return await agents.send(dispatch, lambda: 0.0)


@contextmanager
def _log_failure(operation: Operation, workspace_id: WorkspaceId) -> Iterator[None]:
    """Log the error with which the block ends, under the name of the operation (ACT-13)."""
    try:
        yield
    except ServiceError as error:
        event = f"chat_files {operation}: {error.message}"
        log.info(event, workspace=workspace_id, reason=error.reason)
        raise


def _build_headers(request_id: str) -> dict[str, str]:
    """Return the headers of every request about files. The agent is told not to compress."""
    headers = {"accept": "*/*", "accept-encoding": "identity"}
    if request_id:
        headers["x-request-id"] = request_id
    if traceparent := telemetry.current_traceparent():
        headers["traceparent"] = traceparent
    return headers


def _describe_body(upload: Upload) -> dict[str, str]:
    """Return the headers that describe the body of an upload."""
    described = {"content-type": upload.content_type} if upload.content_type else {}
    if upload.content_length is not None:
        described["content-length"] = str(upload.content_length)
    return described
