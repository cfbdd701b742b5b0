"""Runs chaos on a copy of the code that loses messages: `python -m chaos.broken_build`. Ends with 0 if chaos notices.

In the copy, the proxy marks a message as completed although its target said that it was busy.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent

FOLDERS = ("services", "gateway", "protos", "deploy", "molecule_agent", "molecule_cli", "molecule_http", "chaos")

RULES = Path("services/a2a_proxy/queue/rules.py")

RIGHT = "            waiting = _release(message, WaitReason.BUSY, now + delay)\n"

WRONG = "            waiting = _end(message, MessageState.COMPLETED, now=now, result=Result.OK)\n"

EXPECTED = "accepted message lost"
"""The promise that the copy breaks."""


def copy_broken(folder: Path) -> None:
    """Copy the code into a folder, and break the copy."""
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    rules = folder / RULES
    rules.write_text(break_rules(rules.read_text()))


def break_rules(text: str) -> str:
    """Return the module of the rules with one wrong line; raises `ValueError` if the right one is not there."""
    if text.count(RIGHT) != 1:
        raise ValueError(f"{RULES} has changed: the line to break is not there")
    return text.replace(RIGHT, WRONG)


def main() -> None:
    """Run chaos on the broken copy with the arguments that were given, and print what it says."""
    with tempfile.TemporaryDirectory(prefix="molecule-broken-") as temporary:
        folder = Path(temporary)
        copy_broken(folder)
        command = [sys.executable, "-m", "chaos", *sys.argv[1:]]
        lines = []
        with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - fixed
            for line in process.stdout or ():
                print(line, end="", flush=True)
                lines.append(line)
    is_noticed = process.returncode == 1 and any(EXPECTED in line for line in lines)
    print("chaos notices the broken build" if is_noticed else "chaos DOES NOT notice the broken build")
    sys.exit(0 if is_noticed else 1)


if __name__ == "__main__":
    main()
