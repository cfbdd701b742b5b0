"""Calls the Docker Engine: the SDK blocks, so each call runs in a thread of a bounded pool, with a time limit.

The SDK's errors end here. An engine that does not answer, or answers with an error of its own, is unavailable, which
says nothing about any container.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from threading import Lock
from typing import Any, TypeVar

import requests
import structlog
import urllib3
from docker import APIClient
from docker.errors import APIError, DockerException, create_api_error_from_http_exception
from docker.tls import TLSConfig

from services.provisioner.backends.docker.refusals import is_disk_full
from services.provisioner.docker_options import DockerOptions
from services.provisioner.errors import BackendUnavailable, DiskFull

MAX_CONCURRENT_CALLS = 16
"""Calls in progress at the same time; further ones wait, and their time limit runs."""

FIRST_SERVER_ERROR = 500

NOT_FOUND, CONFLICT, NOT_MODIFIED = 404, 409, 304

T = TypeVar("T")

log = structlog.get_logger()


class ObjectNotFound(Exception):
    """The container, volume, network, image or file does not exist. The text is the engine's, for the log only."""


class ObjectConflict(Exception):
    """The name is taken, the object is in use, or another request works on it. The text is the engine's."""


class RequestRefused(Exception):
    """The engine refused the request, and would refuse it again. The text is the engine's."""


class EngineFailed(BackendUnavailable):
    """The engine answered with an error of its own, so it runs."""


class Engine:
    """One client of the engine, for all calls; it connects with the first one."""

    def __init__(self, options: DockerOptions) -> None:
        self._options = options
        self._timeout = options.timeout
        self._threads = ThreadPoolExecutor(MAX_CONCURRENT_CALLS, thread_name_prefix="docker")
        self._client: APIClient | None = None
        self._connecting = Lock()

    async def call(self, work: Callable[[APIClient], T], *, timeout: timedelta | None = None) -> T:  # noqa: ASYNC109
        """Run `work` with the client in a thread, and return its result.

        Raises `ObjectNotFound`, `ObjectConflict`, `RequestRefused`, and `BackendUnavailable`. A caller that is
        cancelled waits for the end of the call, so that nothing is created after a later removal.
        """
        seconds = (timeout or self._timeout).total_seconds()
        future = asyncio.wrap_future(self._submit(work))
        future.add_done_callback(_retrieve_exception)
        try:
            await asyncio.wait({future}, timeout=seconds)
        except asyncio.CancelledError:
            await asyncio.wait({future}, timeout=seconds)
            raise
        if not future.done():
            log.warning("Docker Engine does not answer", seconds=seconds)
            raise BackendUnavailable
        return future.result()

    async def create_container(self, name: str, body: dict[str, Any]) -> str:
        """Create a container with the engine's own request body, and return its id."""
        create = partial(_create_container, name=name, body=body)
        return await self.call(create)

    async def inspect_image(self, image: str) -> dict[str, Any]:
        """Return what the engine knows of an image; raises `ObjectNotFound`."""
        return await self.call(partial(_inspect_image, image=image))

    async def read_archive_start(self, container_id: str, path: str, limit: int) -> bytes:
        """Return the first bytes of the archive of a path in a container; raises `ObjectNotFound` without the path.

        The SDK offers no way to end the stream of an archive early, which may be as long as a volume is large.
        """
        return await self.call(partial(_read_archive_start, container_id=container_id, path=path, limit=limit))

    def open_client(self) -> APIClient:
        """Return a client of its own, for a stream that outlives calls. Blocks; raises `BackendUnavailable`."""
        try:
            return self._connect()
        except (DockerException, requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise BackendUnavailable from error

    async def close(self) -> None:
        """Close the connections, once no call is in progress any more, and end the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._client is not None:
            await asyncio.to_thread(self._client.close)

    def _submit(self, work: Callable[[APIClient], T]) -> Future[T]:
        return self._threads.submit(self._run, work)

    def _run(self, work: Callable[[APIClient], T]) -> T:
        try:
            return work(self._get_client())
        except APIError as error:
            raise _translate(error) from error
        except (DockerException, requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise BackendUnavailable from error

    def _get_client(self) -> APIClient:
        with self._connecting:
            if self._client is None:
                self._client = self._connect()
            return self._client

    def _connect(self) -> APIClient:
        options = self._options
        tls: Any = False
        if options.cert_path is not None:
            directory = options.cert_path
            tls = TLSConfig(
                client_cert=(str(directory / "cert.pem"), str(directory / "key.pem")),
                ca_cert=str(directory / "ca.pem"),
                verify=options.verify_tls,
            )
        return APIClient(
            base_url=options.host or None,
            version="auto",
            timeout=max(1, round(self._timeout.total_seconds())),
            tls=tls,
            max_pool_size=MAX_CONCURRENT_CALLS,
        )


def _create_container(client: APIClient, name: str, body: dict[str, Any]) -> str:
    create: Callable[..., dict[str, Any]] = client.create_container_from_config
    return str(create(body, name)["Id"])


def _inspect_image(client: APIClient, image: str) -> dict[str, Any]:
    inspect: Callable[[str], dict[str, Any]] = client.inspect_image
    return inspect(image)


def _read_archive_start(client: APIClient, container_id: str, path: str, limit: int) -> bytes:
    url = f"{client.base_url}/v{client.api_version}/containers/{container_id}/archive"
    start = b""
    with client.get(url, params={"path": path}, stream=True, timeout=client.timeout) as response:
        try:
            response.raise_for_status()
        except requests.HTTPError as error:
            create_api_error_from_http_exception(error)
        for chunk in response.iter_content(max(limit, 1)):
            start += chunk
            if len(start) >= limit:
                break
    return start[:limit]


def _translate(error: APIError) -> Exception:
    status, text = error.status_code or FIRST_SERVER_ERROR, str(error.explanation or "")
    if is_disk_full(text):
        log.warning("disk of the Docker Engine is full", text=text)
        return DiskFull()
    if status == NOT_FOUND:
        return ObjectNotFound(text)
    if status == CONFLICT:
        return ObjectConflict(text)
    if status < FIRST_SERVER_ERROR:
        return RequestRefused(text)
    log.warning("Docker Engine failed", status=status, text=text)
    return EngineFailed()


def _retrieve_exception(future: "asyncio.Future[Any]") -> None:
    """Mark the exception of a call as seen whose caller has gone."""
    if not future.cancelled():
        future.exception()
