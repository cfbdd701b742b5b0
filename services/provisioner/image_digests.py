"""Asks image registries for the digests of images, by their API version 2, without pulling anything."""

from base64 import b64encode
from datetime import timedelta
from http import HTTPStatus

import aiohttp
from yarl import URL

from services.chassis import addresses, strict_json
from services.provisioner import image_names
from services.provisioner.docker_options import RegistryLogin

TIMEOUT = timedelta(seconds=20)

MAX_TOKEN_BYTES = 64 * 1024

MANIFEST_TYPES = (
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json"
)


class DigestUnknown(Exception):
    """The registry did not tell the digest. The text is for the log."""


class DigestFetcher:
    """Fetches digests. Registries on this machine speak plain HTTP, as they do to the engine; others HTTPS."""

    def __init__(self, login: RegistryLogin | None, *, timeout: timedelta = TIMEOUT) -> None:
        self._login = login
        self._timeout = aiohttp.ClientTimeout(total=timeout.total_seconds())

    async def fetch(self, image: str) -> str:
        """Return the digest that the registry has for an image now; raises `DigestUnknown`."""
        name = image_names.parse_image(image)
        scheme = "http" if _is_local(name.registry) else "https"
        url = URL(f"{scheme}://{name.registry}/v2/{name.repository}/manifests/{name.reference}")
        try:
            async with aiohttp.ClientSession(timeout=self._timeout, trust_env=False) as session:
                status, digest, challenge = await _read_head(session, url, {})
                if status == HTTPStatus.UNAUTHORIZED:
                    login = image_names.choose_login(self._login, image)
                    headers = {"Authorization": await _authorize(session, challenge, name.repository, login)}
                    status, digest, _ = await _read_head(session, url, headers)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise DigestUnknown(repr(error)) from error
        if status != HTTPStatus.OK or not digest:
            raise DigestUnknown(f"status {status}")
        return digest


async def _authorize(
    session: aiohttp.ClientSession, challenge: str, repository: str, login: RegistryLogin | None
) -> str:
    """Return the header with which the registry answers: a token of its service, or the login itself."""
    basic = _build_basic(login)
    parameters = image_names.parse_challenge(challenge)
    if not parameters.get("realm"):
        return basic
    realm = URL(parameters["realm"])
    if realm.scheme != "https" and not _is_local(realm.authority):
        raise DigestUnknown("the token service has no TLS")
    query = {"scope": f"repository:{repository}:pull"}
    if service := parameters.get("service"):
        query["service"] = service
    headers = {"Authorization": basic} if basic else {}
    async with session.get(realm.update_query(query), headers=headers, allow_redirects=False) as response:
        body = await response.content.read(MAX_TOKEN_BYTES)
        if response.status != HTTPStatus.OK:
            raise DigestUnknown(f"status {response.status} of the token service")
    answer = strict_json.parse(body)
    token = answer.get("token") or answer.get("access_token") if isinstance(answer, dict) else None
    if not isinstance(token, str):
        raise DigestUnknown("the token service sent no token")
    return f"Bearer {token}"


def _build_basic(login: RegistryLogin | None) -> str:
    if login is None:
        return ""
    return "Basic " + b64encode(f"{login.user}:{login.token}".encode()).decode()


async def _read_head(session: aiohttp.ClientSession, url: URL, headers: dict[str, str]) -> tuple[int, str, str]:
    """Return the status, the digest and the challenge of the answer."""
    async with session.head(url, headers={"Accept": MANIFEST_TYPES, **headers}, allow_redirects=False) as response:
        found = response.headers
        return response.status, found.get("Docker-Content-Digest", ""), found.get("WWW-Authenticate", "")


def _is_local(authority: str) -> bool:
    host = URL(f"http://{authority}").host or ""
    return host == "localhost" or addresses.is_loopback(host)
