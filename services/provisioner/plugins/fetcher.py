"""Downloads archives over HTTPS from one host, with limits of time and size. No redirect is followed."""

from datetime import timedelta
from typing import IO

import aiohttp
from yarl import URL

from services.provisioner.plugins.errors import PluginTooLarge
from services.provisioner.plugins.sources import SourceFailure, SourceMissing, SourceTimeout

OK = 200
NOT_FOUND = frozenset({404, 410})

MAX_QUOTED_BYTES = 2_000
"""Bytes of a refusal that are logged."""

CHUNK_BYTES = 64 * 1024


class ArchiveFetcher:
    """Fetches what is below a base address."""

    def __init__(self, base_url: str, *, timeout: timedelta) -> None:
        self._base = base_url
        self._timeout = aiohttp.ClientTimeout(total=timeout.total_seconds())

    async def download(self, path: str, file: IO[bytes], *, max_bytes: int) -> None:
        """Write the answer for a path to a file; `path` is encoded as URLs are.

        Raises `PluginTooLarge`, `SourceMissing`, `SourceTimeout` or `SourceFailure`.
        """
        url = URL(self._base + path, encoded=True)
        try:
            async with (
                aiohttp.ClientSession(timeout=self._timeout, auto_decompress=False, trust_env=False) as session,
                session.get(url, allow_redirects=False) as response,
            ):
                if response.status != OK:
                    raise await _build_failure(response)
                received = 0
                async for chunk in response.content.iter_chunked(CHUNK_BYTES):
                    received += len(chunk)
                    if received > max_bytes:
                        raise PluginTooLarge(max_bytes=max_bytes)
                    file.write(chunk)
        except TimeoutError as error:
            raise SourceTimeout(f"{url}: no answer within {self._timeout.total} s") from error
        except aiohttp.ClientError as error:
            raise SourceFailure(f"{url}: {error!r}") from error


async def _build_failure(response: aiohttp.ClientResponse) -> SourceFailure:
    """Return the error for an answer that is none of success; its text quotes the answer, for the log."""
    quoted = (await response.content.read(MAX_QUOTED_BYTES)).decode(errors="replace")
    headers = {name: value for name, value in response.headers.items() if name.lower().startswith("x-")}
    text = f"{response.url}: {response.status} {headers} {quoted}"
    return SourceMissing(text) if response.status in NOT_FOUND else SourceFailure(text)
