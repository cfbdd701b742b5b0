import pytest

from protos.registry.v1 import registry_pb2
from protos.registry.v1 import search_pb2 as pb

W = "11111111-1111-4111-8111-111111111111"


async def test_a_search_is_forwarded(plane):
    answer = await plane.http.get("/registry/search?skill=Write&tag=prose&q=ada&limit=7&page_token=x")

    assert answer.json() == {"workspaces": [], "next": None}
    [asked] = plane.search.received
    assert asked.request == pb.SearchWorkspacesRequest(
        skill="Write", tag="prose", query="ada", page_size=7, page_token="x"
    )


async def test_found_workspaces_are_rendered_as_peers_with_the_next_page(plane):
    plane.search.replies["SearchWorkspaces"] = pb.SearchWorkspacesResponse(
        workspaces=[registry_pb2.Workspace(id=W, name="ada", agent_card=b'{"name":"Ada"}')], next_page_token="more"
    )

    answer = (await plane.http.get("/registry/search")).json()

    assert answer["next"] == "more"
    [peer] = answer["workspaces"]
    assert (peer["id"], peer["name"], peer["agent_card"]) == (W, "ada", {"name": "Ada"})


@pytest.mark.parametrize("name", ["skill", "tag", "q"])
async def test_too_long_a_text_is_refused(plane, name):
    answer = await plane.http.get("/registry/search", params={name: "x" * 256})

    assert (answer.status_code, answer.json()) == (400, {"error": f"{name} must be at most 255 characters"})
    assert plane.search.received == []
