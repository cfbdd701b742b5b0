"""Replaces Claude Code in tests: it starts a channel, sends the initial MCP requests and then copies lines.

`claude mcp add ... NAME -- COMMAND` stores a command, and `claude --dangerously-load-development-channels server:NAME`
starts it. Output of the channel is copied to standard output, and standard input is copied to the channel.
"""

import json
import subprocess
import sys
import threading
from pathlib import Path

COMMANDS_FILE = Path.home() / "mcp.json"


def load_commands():
    return json.loads(COMMANDS_FILE.read_text()) if COMMANDS_FILE.exists() else {}


def add(arguments):
    separator = arguments.index("--")
    COMMANDS_FILE.write_text(json.dumps(load_commands() | {arguments[separator - 1]: arguments[separator + 1 :]}))


def run_session(name):
    channel = subprocess.Popen(
        load_commands()[name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    threading.Thread(target=copy_lines, args=(channel.stdout, sys.stdout), daemon=True).start()
    parameters = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    for message in (
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": parameters},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/list"},
    ):
        channel.stdin.write(json.dumps(message) + "\n")
    try:
        copy_lines(sys.stdin, channel.stdin)
    finally:
        channel.stdin.close()
        channel.wait()


def copy_lines(lines, target):
    for line in lines:
        target.write(line)
        target.flush()


match sys.argv[1:]:
    case ["mcp", "remove", *_]:
        pass
    case ["mcp", "add", *arguments]:
        add(arguments)
    case ["--dangerously-load-development-channels", server]:
        run_session(server.removeprefix("server:"))
    case arguments:
        sys.exit(f"unknown: {arguments}")
