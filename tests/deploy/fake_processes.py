"""Processes in place of the plane's own: they start at once, say what they were told, and fail as their name says.

A tree of packages with the names of the real ones; `molecule up`, started inside it, starts these.
"""

from pathlib import Path

SERVICE = """
import json, os, signal, sys
from pathlib import Path
name = __spec__.parent.rpartition(".")[2]
Path(os.environ["MOLECULE_HOME"], f"{name}.told.json").write_text(json.dumps(dict(os.environ)))
signal.signal(signal.SIGTERM, lambda *_: sys.exit(print("stopped", flush=True)))
print("serving", flush=True)
signal.pause()
"""

GATEWAY = """
import json, os, signal, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

book = Path(os.environ["MOLECULE_HOME"], "workspaces.json")
checks = {name: {"status": "ok"} for name in ("registry", "auth", "a2a_proxy", "provisioner")}

class Gateway(BaseHTTPRequestHandler):
    def workspaces(self):
        return json.loads(book.read_text()) if book.exists() else []

    def do_GET(self):
        self.answer({"status": "ready", "checks": checks} if self.path == "/ready" else self.workspaces())

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        parents = {"lead": None, "writer": "id-of-lead", "reviewer": "id-of-lead"} if body == {"dir": "demo"} else {}
        made = [
            {"id": f"id-of-{name}", "name": name, "tier": 2, "status": "online", "parent_id": parent}
            for name, parent in parents.items()
        ]
        book.write_text(json.dumps([*self.workspaces(), *made]))
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


def write_packages(folder: Path, **instead: str) -> Path:
    """Write the tree; `instead` replaces the program of a process by name."""
    programs = {f"services/{name}": SERVICE for name in ("auth", "registry", "provisioner", "a2a_proxy")}
    programs["gateway"] = GATEWAY
    for path, program in programs.items():
        package = folder / path
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "__main__.py").write_text(instead.get(package.name, program))
    (folder / "services" / "__init__.py").touch()
    return folder
