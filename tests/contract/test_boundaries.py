"""Each service can be imported without the others; the agent and the gateway need none of them."""

import subprocess
import sys

import pytest

SERVICES = ("registry", "provisioner", "a2a_proxy", "auth")

PROGRAM = """
import sys, importlib

class ImportBlocker:
    def find_spec(self, name, path=None, target=None):
        if name.startswith({forbidden!r}):
            raise ImportError("forbidden import: " + name)

sys.meta_path.insert(0, ImportBlocker())
importlib.import_module({module!r})
"""


def import_without(module, forbidden):
    program = PROGRAM.format(module=module, forbidden=tuple(forbidden))
    return subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=False)


@pytest.mark.covers("ENG-01")
@pytest.mark.parametrize("service", SERVICES)
def test_a_service_starts_without_its_siblings(service):
    siblings = [f"services.{name}" for name in SERVICES if name != service]
    done = import_without(f"services.{service}.app", [*siblings, "gateway", "deploy", "molecule_cli"])
    assert done.returncode == 0, done.stderr


def test_the_gateway_starts_without_any_service():
    done = import_without("gateway.app", [*(f"services.{name}" for name in SERVICES), "sqlalchemy", "deploy"])
    assert done.returncode == 0, done.stderr


def test_the_agent_starts_without_the_plane():
    done = import_without("molecule_agent.__main__", ["services", "gateway", "protos", "deploy", "molecule_cli"])
    assert done.returncode == 0, done.stderr


def test_a_forbidden_import_is_detected():
    assert "forbidden import" in import_without("services.registry.app", ["services.registry.workspace.model"]).stderr
