import re

import pytest
from a2a.server.routes.rest_routes import create_rest_routes
from hypothesis import given
from hypothesis import strategies as st
from starlette.routing import Route

from molecule_a2a.model import Dialect, Operation
from molecule_a2a.rest.model import Target
from molecule_a2a.rest.routes import ROUTES, build_http_request, find_path_dialect, find_targets, find_template

CURRENT, LEGACY = Dialect.CURRENT, Dialect.LEGACY

ids = st.text(min_size=1, max_size=8).filter(lambda text: "\0" not in text and text.isprintable())
"""Printable, because a text with half of a surrogate pair has no UTF-8."""

WITHOUT_TASK = (
    Operation.SEND_MESSAGE,
    Operation.SEND_STREAMING_MESSAGE,
    Operation.LIST_TASKS,
    Operation.GET_EXTENDED_CARD,
)
WITH_CONFIG = (Operation.GET_PUSH_CONFIG, Operation.DELETE_PUSH_CONFIG)


@st.composite
def targets(draw):
    dialect = draw(st.sampled_from(Dialect))
    operation = draw(st.sampled_from([operation for _, _, operation in ROUTES[dialect]]))
    return Target(
        operation=operation,
        dialect=dialect,
        task_id="" if operation in WITHOUT_TASK else draw(ids),
        config_id=draw(ids) if operation in WITH_CONFIG else "",
        tenant=draw(st.just("") | ids.filter(lambda text: text not in {"v1", "tasks"})) if dialect is CURRENT else "",
    )


@given(targets())
def test_the_path_of_an_operation_leads_back_to_it(target):
    request = build_http_request(target)
    assert find_targets(request.path)[request.method] == target
    assert find_path_dialect(request.path) is target.dialect


def list_sdk_routes():
    routes = create_rest_routes(None, enable_v0_3_compat=True)
    return {
        (method, re.sub(r"\{\w+\}", "x", route.path))
        for route in routes
        if isinstance(route, Route)
        for method in route.methods - {"HEAD"}
    }


def test_the_routes_are_those_of_the_official_sdk_and_the_deletion_of_configs_in_the_old_version():
    routes = {(method, re.sub(r"\{\w+\}", "x", path)) for dialect in Dialect for method, path, _ in ROUTES[dialect]}
    assert routes - list_sdk_routes() == {("DELETE", "/v1/tasks/x/pushNotificationConfigs/x")}
    assert list_sdk_routes() <= routes


def test_every_route_finds_its_operation_and_its_template():
    for dialect in Dialect:
        for method, path, operation in ROUTES[dialect]:
            target = find_targets(re.sub(r"\{\w+\}", "x", path))[method]
            assert (target.operation, target.dialect, target.tenant) == (operation, dialect, "")
            assert find_template(method, target) == path


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/message:send", {"POST"}),
        ("/message%3Asend", {"POST"}),
        ("/acme/message:send", {"POST"}),
        ("/tasks", {"GET"}),
        ("/acme/tasks", {"GET"}),
        ("/tasks/a:b", {"GET"}),
        ("/tasks/a:cancel", {"POST", "GET"}),
        ("/tasks/a%3Acancel", {"GET"}),
        ("/tasks/a:subscribe", {"GET", "POST"}),
        ("/v1/tasks/a:subscribe", {"GET", "POST"}),
        ("/v1/card", {"GET"}),
        ("/tasks/a/pushNotificationConfigs", {"GET", "POST"}),
        ("/tasks/a/pushNotificationConfigs/b", {"GET", "DELETE"}),
    ],
)
def test_a_path_has_methods(path, methods):
    assert find_targets(path).keys() == methods


@pytest.mark.parametrize(
    "path",
    [
        *("", "/", "//", "/card", "/v1", "/v1/", "/v1/tasks", "/v1/extendedAgentCard", "/message:other", "/messages"),
        *("/tasks/", "/tasks/:subscribe", "/tasks/%00", "/tasks/%ff", "/tasks//pushNotificationConfigs"),
        *("/tasks/a/pushNotificationConfigs/", "/tasks/a/other", "/a/b/tasks", "/acme/card", "/v1/v1/card"),
        *("/acme/v1/message:send", "//message:send", "/%00/message:send"),
    ],
)
def test_other_paths_have_none(path):
    assert find_targets(path) == {}


def test_ids_and_tenants_are_decoded():
    target = find_targets("/a%2Fb/tasks/c%20d/pushNotificationConfigs/e%3Af")["GET"]
    assert (target.tenant, target.task_id, target.config_id) == ("a/b", "c d", "e:f")


def test_a_verb_without_the_method_belongs_to_the_id():
    found = find_targets("/tasks/a:cancel")
    assert (found["POST"].task_id, found["GET"].task_id) == ("a", "a:cancel")


def test_servers_of_the_old_version_are_subscribed_to_by_get():
    for dialect, method in ((CURRENT, "POST"), (LEGACY, "GET")):
        target = Target(operation=Operation.SUBSCRIBE_TO_TASK, dialect=dialect, task_id="T")
        assert build_http_request(target).method == method
