"""Law 11: the gateway translates. A route makes one RPC, and decides nothing about the domain."""

import ast
from collections import Counter
from pathlib import Path

import pytest

from protos.registry.v1 import registry_pb2

ROUTES = Path("gateway/routes")

HANDLERS_WITH_MORE_RPCS = {
    "WorkspaceRoutes.list_workspaces": "an array of the public API is pages between services",
    "RegistryRoutes.peers": "an array of the public API is pages between services",
    "EntryRoutes.list_entries": "an array of the public API is pages between services",
    "CheckpointRoutes.list_steps": "an array of the public API is pages between services",
    "InstructionRoutes.list_instructions": "an array of the public API is pages between services",
    "SessionSearchRoutes.search": "a union of two services: the proxy keeps the activity, and the registry memories",
    "ScheduleRoutes.list_all_health": "an array of the public API is pages between services",
    "OperationsRoutes.get_metrics": "workspaces and messages are counted by the services that store them",
    "LivenessRoutes.list": "each service knows its own loops, and no service calls up the call graph to collect them",
}
"""Handlers that make more than one RPC, each with its reason."""

DECISIONS = {
    "bundles.py import_bundle: len(content) > MAX_FILES_BYTES": "the size of a gRPC message",
    "cards.py _polls: reply.delivery_mode == pb.DELIVERY_MODE_POLL": "the card of a poller shows what the plane serves",
    "lifecycle.py _cut_log: len(encoded) <= MAX_LOG_TAIL_BYTES": "the size of what is sent on",
    "lifecycle.py read_state: status == 'paused'": "the public answer has a member for this one status",
    "orgs.py _check_size: len(template) > MAX_FILES_BYTES": "the size of a gRPC message",
    "registry.py _find_caller_id: call.identity.kind is Kind.WORKSPACE": (
        "an invalid X-Workspace-ID is refused by the gateway, but ignored if the bearer names the workspace"
    ),
    "sessions.py _describe_caller: identity.kind is Kind.ORG": "the public answer has members by kind",
    "sessions.py _describe_caller: identity.kind is Kind.WORKSPACE": "the public answer has members by kind",
    "files.py replace: "
    "sum((len(path.encode()) + len(text.encode()) for path, text in files.items())) > MAX_FILES_BYTES": (
        "the size of a gRPC message"
    ),
    "templates.py import_template: "
    "sum((len(path.encode()) + len(text.encode()) for path, text in call.body.files.items())) > MAX_FILES_BYTES": (
        "the size of a gRPC message"
    ),
}
"""Comparisons with values of the domain or of a body that routes make, each with its reason."""

STATUSES = {
    name.removeprefix("WORKSPACE_STATUS_").lower()
    for name in registry_pb2.WorkspaceStatus.keys()  # noqa: SIM118 - an enum wrapper is not iterable
}


def find_handlers(source):
    """Yield each method that a route of the module names as its handler, with the methods of its class."""
    for holder in [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]:
        methods = {node.name: node for node in holder.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        named = {
            keyword.value.attr
            for call in ast.walk(holder)
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "Route"
            for keyword in call.keywords
            if keyword.arg == "handler" and isinstance(keyword.value, ast.Attribute)
        }
        for name in named:
            yield f"{holder.name}.{name}", methods[name], methods


def count_rpcs(method, methods):
    """Count the RPCs of a method and of the methods it calls; a loop, or a task for each item, counts twice."""
    asked = 0
    for node in ast.walk(method):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr == "call":
                asked += 1
            elif node.func.attr in methods and getattr(node.func.value, "id", "") == "self":
                asked += count_rpcs(methods[node.func.attr], methods)
    loops = [
        node for node in ast.walk(method) if isinstance(node, ast.While | ast.For | ast.AsyncFor) or starts_tasks(node)
    ]
    return asked * 2 if loops and asked else asked


def starts_tasks(node):
    """Whether a list of tasks is made, each of which may make an RPC."""
    return isinstance(node, ast.ListComp) and getattr(getattr(node.elt, "func", None), "attr", "") == "create_task"


def count_all_rpcs():
    return Counter(
        {
            name: count_rpcs(method, methods)
            for module in ROUTES.glob("*.py")
            for name, method, methods in find_handlers(module.read_text())
        }
    )


def find_decisions(source):
    """Yield the comparisons of a module with a value of the domain or of a request body, by their function."""
    for function in ast.walk(ast.parse(source)):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for node in ast.walk(function):
                match node:
                    case ast.Compare(comparators=[ast.Constant(value=None)]):
                        continue  # whether a member is present
                    case ast.Compare() if is_about_domain(node):
                        yield f"{function.name}: {ast.unparse(node)}"
                    case ast.MatchValue(value=value) if is_about_domain(value):
                        yield f"{function.name}: case {ast.unparse(value)}"


def is_about_domain(node):
    """Whether an expression holds an enum value of a contract, a kind of caller, a status, a size limit or a body."""
    for part in ast.walk(node):
        match part:
            case ast.Attribute(value=ast.Name(id="Kind")):
                return True
            case ast.Attribute(value=ast.Name(id=module), attr=name) if is_contract(module) and name.isupper():
                return True
            case ast.Attribute(value=ast.Name(id="body")) | ast.Attribute(value=ast.Attribute(attr="body")):
                return True
            case ast.Constant(value=str(text)) if text in STATUSES:
                return True
            case ast.Name(id=name) if name.startswith("MAX_") and name.endswith("_BYTES"):
                return True
    return False


def is_contract(module):
    return module == "pb" or module.endswith("_pb2")


def find_foreign_errors(source):
    """Yield the classes of a module that speak in the domain of a service."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef):
            for statement in node.body:
                if isinstance(statement, ast.Assign) and getattr(statement.targets[0], "id", "") in {
                    "domain",
                    "reason",
                }:
                    yield node.name


def find_domain_ranges(source):
    """Yield the constants of a module that list the values which a field may have."""
    for node in ast.parse(source).body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=ast.Name(id="range" | "frozenset"))):
                yield name
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Set()):
                yield name


# RPCs ────────────────────────────────────────────────────────────────────────


def test_a_route_makes_one_rpc():
    too_many = {name for name, asked in count_all_rpcs().items() if asked > 1}

    assert too_many == set(HANDLERS_WITH_MORE_RPCS)


def test_the_handlers_are_found():
    found = count_all_rpcs()

    assert len(found) > 15
    assert {name for name, asked in found.items() if asked == 1} >= {
        "WorkspaceRoutes.create",
        "WorkspaceRoutes.change",
        "RegistryRoutes.register",
    }


@pytest.mark.parametrize(
    "body",
    [
        "await self._a.call(1); await self._a.call(2)",
        "await self._a.call(1); await self._other()",
        "\n            while True: await self._a.call(1)",
        "[group.create_task(self._other()) for _ in (1, 2)]",
    ],
)
def test_a_route_with_two_rpcs_is_found(body):
    source = f"""
class Routes:
    def list_routes(self):
        return [Route(handler=self.go)]
    async def go(self, call):
        {body.strip()}
    async def _other(self):
        await self._a.call(3)
"""
    [(_, method, methods)] = find_handlers(source)

    assert count_rpcs(method, methods) > 1


def test_only_routes_authentication_and_readiness_call_services():
    calling = {
        module.as_posix()
        for module in Path("gateway").rglob("*.py")
        if any(
            isinstance(node, ast.Attribute) and node.attr == "call" for node in ast.walk(ast.parse(module.read_text()))
        )
    }

    outside_routes = {module for module in calling if not module.startswith(("gateway/routes/", "gateway/snippets/"))}
    assert outside_routes == {"gateway/authentication.py", "gateway/readiness.py"}


# Decisions ───────────────────────────────────────────────────────────────────


def test_routes_decide_nothing_about_the_domain():
    found = {
        f"{module.name} {decision}"
        for module in ROUTES.glob("*.py")
        if module.name != "a2a.py"  # forwards bodies byte for byte; its own limit is the size of a message
        for decision in find_decisions(module.read_text())
    }

    assert found == set(DECISIONS)


def test_routes_have_no_errors_of_services_and_no_values_of_fields():
    for module in ROUTES.glob("*.py"):
        assert list(find_foreign_errors(module.read_text())) == [], module
        assert set(find_domain_ranges(module.read_text())) <= {"FORWARDED_HEADERS"}, module


@pytest.mark.parametrize(
    "body",
    [
        "if reply.workspace.status == pb.WORKSPACE_STATUS_REMOVED: raise WorkspaceRemoved",
        "if call.identity.kind is Kind.WORKSPACE: raise Refused",
        "if call.identity.kind not in {Kind.ADMIN, Kind.ORG}: raise Refused",
        "if call.body.tier not in TIERS: raise Refused",
        "if 1 <= body.tier <= 4: pass",
        "if render_status(reply.status) in ('failed', 'removed'): raise Refused",
        "\n        match reply.status:\n            case registry_pb2.WORKSPACE_STATUS_PAUSED: pass",
    ],
)
def test_a_decision_in_a_route_is_found(body):
    assert len(list(find_decisions(f"async def handle(self, call, body):\n        {body.strip()}"))) == 1


def test_an_error_of_a_service_and_a_range_of_values_are_found():
    assert list(find_foreign_errors("class Gone(FailedPrecondition):\n    reason = 'GONE'")) == ["Gone"]
    assert list(find_domain_ranges("TIERS = range(1, 5)\nROLES = {'a'}\nMODES = frozenset({1})\nNAME = 'x'")) == [
        "TIERS",
        "ROLES",
        "MODES",
    ]
