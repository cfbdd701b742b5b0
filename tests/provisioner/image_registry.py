"""An image registry (API version 2) for pulls: tokens, manifests and blobs, and tiny images that run."""

import gzip
import hashlib
import io
import json
import struct
import tarfile
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from tests.provisioner.control_plane import serve_app

USER, PASSWORD = "puller", "password-of-the-registry"

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"

TOKEN = "token-of-the-registry"


def build_sleeping_program() -> bytes:
    """Return a program for x86-64 that waits for a signal: 9 bytes of code behind the headers of an ELF file."""
    code = b"\xb8\x22\x00\x00\x00\x0f\x05\xeb\xf7"  # pause(), again and again
    start, size = 0x400000, 120 + len(code)
    header = struct.pack(
        "<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 2, 62, 1, start + 120, 64, 0, 0, 64, 56, 1, 0, 0, 0
    )
    return header + struct.pack("<IIQQQQQQ", 1, 5, 0, start, start, size, size, 0x1000) + code


class ImageRegistry:
    """Serves what `add_image` added. With `requires_login` a pull needs a token, and a token needs the login."""

    def __init__(self) -> None:
        self.host = ""
        self.requires_login = False
        self.is_broken = False
        self.requests: list[str] = []
        self._blobs: dict[str, bytes] = {}
        self._manifests: dict[tuple[str, str], tuple[str, bytes]] = {}

    def add_image(self, repository: str, label: str, *, tag: str = "latest") -> str:
        """Add an image whose agent sleeps; return its digest, which depends on the label."""
        layer = io.BytesIO()
        with tarfile.open(fileobj=layer, mode="w") as archive:
            program = build_sleeping_program()
            entry = tarfile.TarInfo("agent")
            entry.size, entry.mode = len(program), 0o755
            archive.addfile(entry, io.BytesIO(program))
        config = {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Cmd": ["/agent"], "Labels": {"version": label}},
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer.getvalue())]},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self._add_blob(json.dumps(config).encode(), "application/vnd.docker.container.image.v1+json"),
            "layers": [
                self._add_blob(
                    gzip.compress(layer.getvalue(), mtime=0), "application/vnd.docker.image.rootfs.diff.tar.gzip"
                )
            ],
        }
        content = json.dumps(manifest).encode()
        digest = _digest(content)
        for reference in (tag, digest):
            self._manifests[repository, reference] = (digest, content)
        return digest

    def build_app(self) -> web.Application:
        app = web.Application()
        app.add_routes(
            [
                web.get("/token", self._issue_token),
                web.get("/v2/", self._ping),
                web.get("/v2/{repository:.+}/manifests/{reference}", self._read_manifest),
                web.get("/v2/{repository:.+}/blobs/{digest}", self._read_blob),
            ]
        )
        return app

    def _add_blob(self, content: bytes, kind: str) -> dict[str, object]:
        digest = _digest(content)
        self._blobs[digest] = content
        return {"mediaType": kind, "size": len(content), "digest": digest}

    async def _issue_token(self, request: web.Request) -> web.Response:
        self.requests.append(f"token {request.query.get('scope', '')}")
        scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Basic" or b64decode(encoded).decode() != f"{USER}:{PASSWORD}":
            return web.json_response({"errors": [{"code": "UNAUTHORIZED"}]}, status=401)
        return web.json_response({"token": TOKEN})

    async def _ping(self, request: web.Request) -> web.Response:
        return self._refuse(request) or web.json_response({})

    async def _read_manifest(self, request: web.Request) -> web.Response:
        repository, reference = request.match_info["repository"], request.match_info["reference"]
        self.requests.append(f"{request.method} {repository}")
        if refusal := self._refuse(request):
            return refusal
        found = self._manifests.get((repository, reference))
        if found is None:
            return web.json_response({"errors": [{"code": "MANIFEST_UNKNOWN"}]}, status=404)
        return web.Response(body=found[1], content_type=MANIFEST, headers={"Docker-Content-Digest": found[0]})

    async def _read_blob(self, request: web.Request) -> web.Response:
        if refusal := self._refuse(request):
            return refusal
        found = self._blobs.get(request.match_info["digest"])
        return web.Response(status=404) if found is None else web.Response(body=found)

    def _refuse(self, request: web.Request) -> web.Response | None:
        if self.is_broken:
            return web.Response(status=500)
        if not self.requires_login or request.headers.get("Authorization") == f"Bearer {TOKEN}":
            return None
        challenge = f'Bearer realm="http://{self.host}/token",service="registry of the tests"'
        body = {"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]}
        return web.json_response(body, status=401, headers={"WWW-Authenticate": challenge})


@asynccontextmanager
async def serve_image_registry() -> AsyncIterator[ImageRegistry]:
    """Serve a registry on a free port of the loopback interface, where the engine accepts plain HTTP."""
    registry = ImageRegistry()
    async with serve_app(registry.build_app()) as url:
        registry.host = url.removeprefix("http://")
        yield registry


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
