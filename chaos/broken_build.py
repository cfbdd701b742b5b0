"""Runs chaos on a broken copy of the code: `python -m chaos.broken_build lost`. Ends with 0 if chaos notices.

In the copy `lost`, the proxy marks a message as completed although its target said that it was busy. In the copy
`doubled`, it delivers a message again although it may not be repeated and its agent may have it. Further arguments are
those of `python -m chaos`.
"""

import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent

FOLDERS = (
    "services",
    "gateway",
    "protos",
    "deploy",
    "molecule_agent",
    "molecule_cli",
    "molecule_http",
    "molecule_a2a",
    "chaos",
)

RULES = Path("services/a2a_proxy/queue/rules.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Defect:
    """A wrong piece of code in the place of the right one, and the broken promise that chaos has to report."""

    right: str
    wrong: str
    broken_promise: str


DEFECTS = {
    "lost": Defect(
        right="            waiting = _release(message, WaitReason.BUSY, now + delay)\n",
        wrong="            waiting = _end(message, MessageState.COMPLETED, now=now, result=Result.OK)\n",
        broken_promise="accepted message lost",
    ),
    "doubled": Defect(
        right='    if repeatable:\n        return _fail(message, "lease expired", LEASE_LOST',
        wrong='    if True:\n        return _fail(message, "lease expired", LEASE_LOST',
        broken_promise="unsafe message arrived twice",
    ),
}
"""The defects by name."""


def break_rules(text: str, defect: Defect) -> str:
    """Return the module of the rules with a defect; raises `ValueError` if the right code is not there."""
    if text.count(defect.right) != 1:
        raise ValueError(f"{RULES} has changed: the code to break is not there")
    return text.replace(defect.right, defect.wrong)


def copy_broken(folder: Path, defect: Defect) -> None:
    """Copy the code into a folder, and break the copy."""
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    rules = folder / RULES
    rules.write_text(break_rules(rules.read_text(), defect))


def main() -> None:
    """Run chaos on the broken copy, and print what it says."""
    if len(sys.argv) == 1 or sys.argv[1] not in DEFECTS:
        sys.exit(f"name a defect: {', '.join(DEFECTS)}")
    defect = DEFECTS[sys.argv[1]]
    with tempfile.TemporaryDirectory(prefix="molecule-broken-") as temporary:
        folder = Path(temporary)
        copy_broken(folder, defect)
        command = [sys.executable, "-m", "chaos", *sys.argv[2:]]
        lines = []
        with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - fixed
            for line in process.stdout or ():
                print(line, end="", flush=True)
                lines.append(line)
    is_noticed = process.returncode == 1 and any(defect.broken_promise in line for line in lines)
    print("chaos notices the broken build" if is_noticed else "chaos DOES NOT notice the broken build")
    sys.exit(0 if is_noticed else 1)


if __name__ == "__main__":
    main()
