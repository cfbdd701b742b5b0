"""Fake services and a fake gateway, which start at once, write their environment to a file, and fail as named.

`write_packages` writes packages with the names of the real ones; `molecule up`, started in their folder, runs them.
"""

from pathlib import Path

SERVICE = """
import json, os, signal, sys
from pathlib import Path
name = __spec__.parent.rpartition(".")[2]
Path(os.environ["MOLECULE_HOME"], f"{name}.environment.json").write_text(json.dumps(dict(os.environ)))
signal.signal(signal.SIGTERM, lambda *_: sys.exit(print("stopped", flush=True)))
print("serving", flush=True)
signal.pause()
"""

GATEWAY = """
import json, os, signal, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

workspaces_file = Path(os.environ["MOLECULE_HOME"], "workspaces.json")
checks = {name: {"status": "ok"} for name in ("registry", "auth", "a2a_proxy", "provisioner")}

class Gateway(BaseHTTPRequestHandler):
    def read_workspaces(self):
        return json.loads(workspaces_file.read_text()) if workspaces_file.exists() else []

    def do_GET(self):
        self.answer({"status": "ready", "checks": checks} if self.path == "/ready" else self.read_workspaces())

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        parents = {"lead": None, "writer": "id-of-lead", "reviewer": "id-of-lead"} if body == {"dir": "demo"} else {}
        made = [
            {"id": f"id-of-{name}", "name": name, "tier": 2, "status": "online", "parent_id": parent}
            for name, parent in parents.items()
        ]
        workspaces_file.write_text(json.dumps([*self.read_workspaces(), *made]))
        self.answer({"org": "Demo", "count": len(made), "workspaces": made})

    def answer(self, body):
        text = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass

server = ThreadingHTTPServer((os.environ["BIND_HOST"], int(os.environ["PORT"])), Gateway)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
print("serving", flush=True)
server.serve_forever()
print("stopped", flush=True)
"""

NEVER_READY = GATEWAY.replace('"ok"', '"fail"')

REFUSING_TO_START = "import sys; sys.exit('registry: LIVENESS_WINDOW must be positive')"

IGNORING_SIGTERM = SERVICE.replace('lambda *_: sys.exit(print("stopped", flush=True))', "signal.SIG_IGN")


def write_packages(folder: Path, **replacements: str) -> Path:
    """Write the packages; `replacements` are other programs by the name of their process."""
    programs = {f"services/{name}": SERVICE for name in ("auth", "registry", "provisioner", "a2a_proxy")}
    programs["gateway"] = GATEWAY
    for path, program in programs.items():
        package = folder / path
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "__main__.py").write_text(replacements.get(package.name, program))
    (folder / "services" / "__init__.py").touch()
    return folder
