"""Runs nginx as operators do in front of the gateway: with connections that it keeps, and with WebSockets."""

import asyncio
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tests.nginx_binary import find_nginx
from tests.waiting import eventually

CONFIG = """
daemon off;
pid {folder}/pid;
error_log {folder}/error.log;
worker_processes 1;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  map $http_upgrade $connection_header {{ default upgrade; '' ''; }}
  upstream gateway {{ server {gateway}; keepalive 4; }}
  server {{
    listen 127.0.0.1:{port};
    server_name gateway.test;
    location / {{
      proxy_pass http://gateway;
      proxy_http_version 1.1;
      proxy_request_buffering {buffering};
      proxy_set_header Host $host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_header;
    }}
    location /metrics {{ deny all; }}
  }}
}}
"""


DENIED_PATH = "/metrics"
"""The path that nginx does not pass on."""


@asynccontextmanager
async def run_nginx(gateway_url: str, folder: Path, *, buffers_requests: bool = True) -> AsyncIterator[str]:
    """Run nginx for the length of the block; yields its URL."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = folder / "nginx.conf"
    buffering = "on" if buffers_requests else "off"
    gateway = urlsplit(gateway_url).netloc
    config.write_text(CONFIG.format(folder=folder, port=port, gateway=gateway, buffering=buffering))
    process = subprocess.Popen([find_nginx() or "nginx", "-e", folder / "error.log", "-p", folder, "-c", config])

    async def accepts() -> bool:
        assert process.poll() is None, (folder / "error.log").read_text()
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            return False
        writer.close()
        return True

    try:
        await eventually(accepts)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)
