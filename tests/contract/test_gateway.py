"""Law 11: the gateway translates, it does not orchestrate. One route, one RPC."""

import ast
from collections import Counter
from pathlib import Path

import pytest

ROUTES = Path("gateway/routes")

MORE_THAN_ONE = {
    "WorkspaceRoutes.change": "a change of nothing asks for its workspace instead: an empty mask is an error",
    "WorkspaceRoutes.list": "an array at the edge is pages within",
    "RegistryRoutes.peers": "an array at the edge is pages within",
    "EntryRoutes.list": "an array at the edge is pages within",
    "CheckpointRoutes.list": "an array at the edge is pages within",
    "InstructionRoutes.list": "an array at the edge is pages within",
    "LivenessRoutes.list": "each service knows its own loops, and nobody calls up the graph to gather them",
}
"""Handlers that ask more than once, and why."""


def handlers(source):
    """The methods that the tables of a module name, by class."""
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


def rpcs(method, methods):
    """How often a method asks a service, itself or through its own helpers; a loop, or a task for each, asks more."""
    asked = 0
    for node in ast.walk(method):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr == "call":
                asked += 1
            elif node.func.attr in methods and getattr(node.func.value, "id", "") == "self":
                asked += rpcs(methods[node.func.attr], methods)
    loops = [node for node in ast.walk(method) if isinstance(node, ast.While | ast.For | ast.AsyncFor) or _spawns(node)]
    return asked * 2 if loops and asked else asked


def _spawns(node):
    """Whether tasks are made of a list: then each of them may ask."""
    return isinstance(node, ast.ListComp) and getattr(getattr(node.elt, "func", None), "attr", "") == "create_task"


def counted():
    return Counter(
        {
            name: rpcs(method, methods)
            for module in ROUTES.glob("*.py")
            for name, method, methods in handlers(module.read_text())
        }
    )


def test_one_route_is_one_rpc():
    too_many = {name for name, asked in counted().items() if asked > 1}

    assert too_many == set(MORE_THAN_ONE)


def test_the_handlers_are_found():
    found = counted()

    assert len(found) > 15
    assert {name for name, asked in found.items() if asked == 1} >= {
        "WorkspaceRoutes.create",
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
    def table(self):
        return [Route(handler=self.go)]
    async def go(self, call):
        {body.strip()}
    async def _other(self):
        await self._a.call(3)
"""
    [(_, method, methods)] = handlers(source)

    assert rpcs(method, methods) > 1


def test_only_routes_and_what_stands_beside_them_ask_services():
    asking = {
        module.as_posix()
        for module in Path("gateway").rglob("*.py")
        if any(
            isinstance(node, ast.Attribute) and node.attr == "call" for node in ast.walk(ast.parse(module.read_text()))
        )
    }

    beside = {"gateway/authentication.py", "gateway/readiness.py"}
    assert {module for module in asking if not module.startswith("gateway/routes/")} == beside
