"""A signed card is stored so that its signature still fits, and shown to clients with that of the plane."""

import json

import pytest

from deploy.plane import Plane
from services.registry.card_keys import read_card_keys
from services.registry.errors.workspaces import InvalidBody
from services.registry.workspace.model import SignatureState
from tests.card_signer import CardSigner
from tests.databases import plane_database
from tests.e2e.principals import external

pytestmark = pytest.mark.e2e

HERE = "http://127.0.0.1:9/a2a"

CARD = {
    "name": "Zoé",
    "description": "Reads 漢字",
    "version": "1",
    "supportedInterfaces": [{"url": HERE, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}],
    "capabilities": {"streaming": True},
    "skills": [],
    "x-vendor": {"n": 0.1, "large": 1e300, "at": HERE},
}


@pytest.mark.covers("BEY-20")
async def test_a_signature_fits_wherever_the_stored_card_is_read(database_url, tmp_path):
    author = CardSigner()
    keys = write_keys(tmp_path / "authors.json", [author.publish()])
    signed = author.sign(CARD)
    async with (
        plane_database(database_url) as url,
        Plane(backend="none", database_url=url, env={"AGENT_CARD_KEYS": str(tmp_path / "authors.json")}) as plane,
    ):
        workspace_id, token = await external(plane, "zoe", delivery_mode="push")
        other_id, other_token = await external(plane, "ada", delivery_mode="poll")
        headers, others = {"Authorization": f"Bearer {token}"}, {"Authorization": f"Bearer {other_token}"}

        async def register(card, **fields):
            body = {"id": workspace_id, "agent_card": card, "url": HERE, **fields}
            return await plane.http.post("/registry/register", json=body, headers=headers)

        assert (await register(CARD)).json()["card_signature"] == "unsigned"
        assert (await register(CardSigner(key_id="stranger").sign(CARD))).json()["card_signature"] == "unverified"
        assert (await register(signed)).json()["card_signature"] == "verified"
        refused = await register({**signed, "name": "Zoe"})
        assert (refused.status_code, refused.json()["reason"]) == (400, "invalid_signature")

        workspace = (await plane.http.get(f"/workspaces/{workspace_id}", headers=plane.admin)).json()
        listed = (await plane.http.get("/workspaces", headers=plane.admin)).json()
        peers = (await plane.http.get(f"/registry/{other_id}/peers", headers=others)).json()
        for stored in (workspace, *(one for one in (*listed, *peers) if one["id"] == workspace_id)):
            assert stored["agent_card"] == signed
            assert await keys.judge(stored["agent_card"]) is SignatureState.VERIFIED
        revoked = write_keys(tmp_path / "later.json", [CardSigner(key_id="next").publish()])
        assert await revoked.judge(signed) is SignatureState.UNVERIFIED

        polling = await register(CARD, delivery_mode="poll")
        assert len(polling.json()["warnings"]) == 1
        await check_shown_cards(plane, workspace_id, tmp_path / "plane.json")


async def check_shown_cards(plane, workspace_id, path):
    """The cards for clients lead to the plane, and have signatures of its published key."""
    published = (await plane.http.get("/.well-known/jwks.json")).json()["keys"]
    keys = write_keys(path, published)
    for place in (f"/workspaces/{workspace_id}/a2a", f"/workspaces/{workspace_id}"):
        for headers in ({}, {"A2A-Version": "1"}):
            answer = await plane.http.get(f"{place}/.well-known/agent-card.json", headers=headers)
            card = answer.json()
            assert HERE not in answer.text
            assert card["x-vendor"] == {"n": 0.1, "large": 1e300}
            assert card["supportedInterfaces"][0]["url"] == f"{plane.url}/workspaces/{workspace_id}/a2a"
            assert await keys.judge(card) is SignatureState.VERIFIED
            with pytest.raises(InvalidBody):
                await keys.judge({**card, "name": "Zoe"})
            assert answer.headers["etag"]


def write_keys(path, keys):
    path.write_text(json.dumps({"keys": keys}))
    return read_card_keys(path)
