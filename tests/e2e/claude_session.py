"""Stands where Claude Code would: starts the channel it was given and passes lines on, after the greeting.

`claude mcp add ... NAME -- COMMAND` and `claude mcp remove` keep the commands; `claude
--dangerously-load-development-channels server:NAME` starts one. What the channel says goes to standard output, what
stands on standard input goes to the channel.
"""

import json
import subprocess
import sys
import threading
from pathlib import Path

KEPT = Path.home() / "mcp.json"


def kept():
    return json.loads(KEPT.read_text()) if KEPT.exists() else {}


def add(words):
    cut = words.index("--")
    KEPT.write_text(json.dumps(kept() | {words[cut - 1]: words[cut + 1 :]}))


def session(name):
    channel = subprocess.Popen(kept()[name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
    threading.Thread(target=pass_on, args=(channel.stdout, sys.stdout), daemon=True).start()
    greeting = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    for message in (
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": greeting},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/list"},
    ):
        channel.stdin.write(json.dumps(message) + "\n")
    try:
        pass_on(sys.stdin, channel.stdin)
    finally:
        channel.stdin.close()
        channel.wait()


def pass_on(lines, target):
    for line in lines:
        target.write(line)
        target.flush()


match sys.argv[1:]:
    case ["mcp", "remove", *_]:
        pass
    case ["mcp", "add", *words]:
        add(words)
    case ["--dangerously-load-development-channels", server]:
        session(server.removeprefix("server:"))
    case words:
        sys.exit(f"unknown: {words}")
