"""Each service lives without its siblings, and neither the agent nor the gateway needs any of them."""

import subprocess
import sys

import pytest

SERVICES = ("registry", "provisioner", "a2a_proxy", "auth")

PROGRAM = """
import sys, importlib

class Wall:
    def find_spec(self, name, path=None, target=None):
        if name.startswith({forbidden!r}):
            raise ImportError("behind the wall: " + name)

sys.meta_path.insert(0, Wall())
importlib.import_module({module!r})
"""


def imported(module, forbidden):
    program = PROGRAM.format(module=module, forbidden=tuple(forbidden))
    return subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=False)


@pytest.mark.covers("ENG-01")
@pytest.mark.parametrize("service", SERVICES)
def test_a_service_starts_without_its_siblings(service):
    siblings = [f"services.{name}" for name in SERVICES if name != service]
    done = imported(f"services.{service}.app", [*siblings, "gateway", "deploy", "molecule_cli"])
    assert done.returncode == 0, done.stderr


def test_the_gateway_starts_without_any_service():
    done = imported("gateway.app", [*(f"services.{name}" for name in SERVICES), "sqlalchemy", "deploy"])
    assert done.returncode == 0, done.stderr


def test_the_agent_starts_without_the_plane():
    done = imported("molecule_agent.__main__", ["services", "gateway", "protos", "deploy", "molecule_cli"])
    assert done.returncode == 0, done.stderr


def test_the_wall_can_be_run_into():
    assert "behind the wall" in imported("services.registry.app", ["services.registry.workspace.model"]).stderr
