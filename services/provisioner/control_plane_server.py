"""The reference server of the control plane API: runs the instances of one plane as processes of this machine.

    python -m services.provisioner.control_plane_server --listen 10.0.0.7:8443 --home ~/.molecule-remote \
        --token-file token --certificate server.pem --key server-key.pem

Another implementation may run instances elsewhere; docs/control-plane-api.md says what it has to do.
"""

import argparse
import asyncio
import hmac
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import structlog
from aiohttp import web

from services.chassis import addresses, strict_json
from services.chassis.errors import ServiceError, Unavailable
from services.provisioner import file_rules
from services.provisioner.backends.base import Backend, BackendConfig
from services.provisioner.backends.control_plane import messages
from services.provisioner.backends.control_plane.messages import InvalidMessage
from services.provisioner.backends.process import create_backend
from services.provisioner.model import FileRoot, WorkspaceId

MAX_REQUEST_BYTES = 20 * 1024 * 1024
"""Bytes of the largest request, which holds the starter files of a workspace."""

PAGE_SIZE = 500

MAX_LOG_LINES = 5_000

SIGN_OF_LIFE_SECONDS = 5.0
"""Seconds between two lines of the stream of exits."""

RETRY_SECONDS = 1.0

MIN_TOKEN_LENGTH = 16

log = structlog.get_logger()


class ControlPlaneServer:
    """Serves one plane, which proves itself with the token. Requests for one workspace are carried out in turn.

    A request is finished also when its client has gone, so a start whose client timed out is not carried out after a
    stop that was sent later.
    """

    def __init__(self, backend: Backend, token: str) -> None:
        self._backend = backend
        self._authorization = f"Bearer {token}".encode()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._followers: set[asyncio.Queue[WorkspaceId]] = set()

    @property
    def followers(self) -> int:
        """How many streams of exits are open."""
        return len(self._followers)

    def build_app(self) -> web.Application:
        """Return the application of the server."""
        app = web.Application(client_max_size=MAX_REQUEST_BYTES, middlewares=[self._guard])
        app.add_routes(
            [
                web.get("/cp/workspaces", self._list),
                web.get("/cp/exits", self._stream_exits),
                web.put("/cp/workspaces/{id}", self._start),
                web.delete("/cp/workspaces/{id}", self._forget),
                web.post("/cp/workspaces/{id}/stop", self._stop),
                web.get("/cp/workspaces/{id}/status", self._get),
                web.get("/cp/workspaces/{id}/logs", self._read_logs),
                web.get("/cp/workspaces/{id}/files", self._list_files),
                web.put("/cp/workspaces/{id}/files", self._write_files),
                web.get("/cp/workspaces/{id}/file", self._read_file),
                web.delete("/cp/workspaces/{id}/file", self._delete_file),
            ]
        )
        app.cleanup_ctx.append(self._watch_exits)
        return app

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Refuse requests without the token, and translate errors; no internal text leaves the machine."""
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(given, self._authorization):
            return _answer({"reason": "UNAUTHORIZED"}, status=401)
        try:
            return await handler(request)
        except InvalidMessage as error:
            return _answer({"reason": "INVALID_REQUEST", "member": str(error)}, status=400)
        except ServiceError as error:
            log.warning("request failed", path=request.path, error=repr(error))
            return _answer({"reason": error.reason}, status=503 if isinstance(error, Unavailable) else 409)
        except web.HTTPException as error:
            return _answer({"reason": error.reason}, status=error.status)
        except Exception:
            log.exception("request failed", path=request.path)
            return _answer({"reason": "INTERNAL"}, status=500)

    async def _start(self, request: web.Request) -> web.Response:
        workspace_id = _read_workspace(request)
        spec = messages.spec_from_json(workspace_id, messages.parse_object(await request.read()))
        async with self._lock(workspace_id):
            return _answer({"instance": messages.instance_to_json(await self._backend.start(spec))})

    async def _stop(self, request: web.Request) -> web.Response:
        workspace_id = _read_workspace(request)
        async with self._lock(workspace_id):
            await self._backend.stop(workspace_id)
        return _answer({})

    async def _forget(self, request: web.Request) -> web.Response:
        workspace_id = _read_workspace(request)
        async with self._lock(workspace_id):
            await self._backend.forget(workspace_id)
        return _answer({})

    async def _get(self, request: web.Request) -> web.Response:
        instance = await self._backend.get(_read_workspace(request))
        return _answer({"instance": None if instance is None else messages.instance_to_json(instance)})

    async def _list(self, request: web.Request) -> web.Response:
        after = request.query.get("after", "")
        instances = sorted(await self._backend.list(), key=lambda instance: instance.workspace_id)
        page = [instance for instance in instances if instance.workspace_id > after][: PAGE_SIZE + 1]
        following = page[PAGE_SIZE - 1].workspace_id if len(page) > PAGE_SIZE else None
        shown = [messages.instance_to_json(instance) for instance in page[:PAGE_SIZE]]
        return _answer({"instances": shown, "next": following})

    async def _read_logs(self, request: web.Request) -> web.Response:
        lines = _read_number(request, "lines", MAX_LOG_LINES)
        tail = await self._backend.read_logs(_read_workspace(request), lines)
        return _answer({"log": None if tail is None else messages.log_to_json(tail)})

    async def _list_files(self, request: web.Request) -> web.Response:
        directory = file_rules.parse_directory(request.query.get("directory", ""))
        depth = _read_number(request, "depth", file_rules.MAX_DEPTH)
        entries = await self._backend.list_files(_read_workspace(request), _read_root(request), directory, depth)
        return _answer({"entries": [messages.entry_to_json(entry) for entry in entries]})

    async def _read_file(self, request: web.Request) -> web.Response:
        path = file_rules.parse_path(request.query.get("path", ""))
        content = await self._backend.read_file(_read_workspace(request), _read_root(request), path)
        return _answer(messages.content_to_json(content))

    async def _write_files(self, request: web.Request) -> web.Response:
        body = messages.parse_object(await request.read())
        root = file_rules.parse_root(messages.read_text(body, "root"))
        files = file_rules.check_files(messages.read_written_files(body))
        await self._backend.write_files(_read_workspace(request), root, files)
        return _answer({})

    async def _delete_file(self, request: web.Request) -> web.Response:
        path = file_rules.parse_path(request.query.get("path", ""))
        await self._backend.delete_file(_read_workspace(request), _read_root(request), path)
        return _answer({})

    async def _stream_exits(self, request: web.Request) -> web.StreamResponse:
        """Send one line for each instance that ends, and an empty object as a sign of life."""
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        ended: asyncio.Queue[WorkspaceId] = asyncio.Queue()
        self._followers.add(ended)
        try:
            await response.prepare(request)
            while True:
                await response.write(strict_json.dump(await _wait_for_exit(ended)) + b"\n")
        except ConnectionError:
            return response
        finally:
            self._followers.discard(ended)

    async def _watch_exits(self, _: web.Application) -> AsyncIterator[None]:
        task = asyncio.ensure_future(self._follow_exits())
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def _follow_exits(self) -> None:
        while True:
            try:
                async with aclosing(self._backend.watch_exits()) as exits:
                    async for workspace_id in exits:
                        for follower in self._followers:
                            follower.put_nowait(workspace_id)
            except Unavailable as error:
                log.warning("exits not followed", error=repr(error))
            await asyncio.sleep(RETRY_SECONDS)

    def _lock(self, workspace_id: WorkspaceId) -> asyncio.Lock:
        return self._locks.setdefault(workspace_id, asyncio.Lock())


async def _wait_for_exit(ended: asyncio.Queue[WorkspaceId]) -> dict[str, str]:
    try:
        async with asyncio.timeout(SIGN_OF_LIFE_SECONDS):
            return {"workspace_id": await ended.get()}
    except TimeoutError:
        return {}


def _read_workspace(request: web.Request) -> WorkspaceId:
    return WorkspaceId(request.match_info["id"])


def _read_root(request: web.Request) -> FileRoot:
    return file_rules.parse_root(request.query.get("root", ""))


def _read_number(request: web.Request, name: str, most: int) -> int:
    text = request.query.get(name, "")
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= most):
        raise InvalidMessage(name)
    return int(text[:9])


def _answer(body: dict[str, Any], *, status: int = 200) -> web.Response:
    return web.Response(body=strict_json.dump(body), status=status, content_type="application/json")


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until the process is interrupted. Plain HTTP is for loopback addresses only."""
    parser = argparse.ArgumentParser(prog="control_plane_server", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--listen", required=True, help="ADDRESS:PORT")
    parser.add_argument("--home", required=True, type=Path, help="directory of the instances")
    parser.add_argument("--token-file", required=True, type=Path, help="file with the token of the plane")
    parser.add_argument("--certificate", type=Path, help="certificate of the server, PEM")
    parser.add_argument("--key", type=Path, help="private key of the certificate, PEM")
    given = parser.parse_args(arguments)
    host, _, port = given.listen.rpartition(":")
    token = given.token_file.read_text(encoding="utf-8").strip()
    if not (port.isascii() and port.isdigit()):
        parser.error("--listen must be ADDRESS:PORT")
    if len(token) < MIN_TOKEN_LENGTH:
        parser.error(f"the token must have at least {MIN_TOKEN_LENGTH} characters")
    if given.certificate is None and not addresses.is_loopback(host):
        parser.error("--certificate and --key are required on an address that other machines reach")
    tls = None
    if given.certificate is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(given.certificate, given.key)
    logging.basicConfig(level=logging.INFO)
    backend = create_backend(BackendConfig(given.home.expanduser().absolute()))
    web.run_app(ControlPlaneServer(backend, token).build_app(), host=host, port=int(port), ssl_context=tls)


if __name__ == "__main__":
    main()
