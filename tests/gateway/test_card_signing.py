import json
from base64 import urlsafe_b64encode
from copy import deepcopy
from hashlib import sha256

import pytest
from a2a.client.card_resolver import parse_agent_card
from a2a.utils._jcs import canonicalize
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from google.protobuf.json_format import MessageToDict

from deploy.signing_key import create_signing_key
from gateway import agent_cards
from gateway.app import start_gateway
from gateway.card_signing import read_card_signer
from gateway.settings import Settings
from molecule_a2a.card_signatures import build_signing_input, decode_base64url
from services.chassis.settings import InvalidSettings, Mode
from tests.card_signer import CardSigner
from tests.gateway.all_routes import TARGETS
from tests.gateway.conftest import run_gateway_under_test
from tests.gateway.test_card_routes import CARD, STORED, W
from tests.molecule_a2a.test_card_signatures import drop_empty

URL = "https://plane.example/workspaces/w/a2a"


@pytest.fixture
def key_file(tmp_path):
    path = tmp_path / "key.pem"
    path.write_text(create_signing_key())
    return path


def verify(card, covered, keys):
    """Verify one of the signatures of a card as its clients do."""
    (key,) = keys["keys"]
    x, y = (int.from_bytes(decode_base64url(key[name])) for name in ("x", "y"))
    public = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    for signature in card["signatures"]:
        header = json.loads(decode_base64url(signature["protected"]))
        assert (header["alg"], header["kid"]) == ("ES256", key["kid"])
        pair = decode_base64url(signature["signature"])
        signed = build_signing_input(signature["protected"], canonicalize(covered).encode())
        encoded = encode_dss_signature(int.from_bytes(pair[:32]), int.from_bytes(pair[32:]))
        try:
            public.verify(encoded, signed, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            continue
        return True
    return False


def without_signatures(card):
    return {name: value for name, value in card.items() if name != "signatures"}


@pytest.mark.parametrize("form", [agent_cards.render_hybrid_card, agent_cards.render_current_card])
def test_clients_verify_the_card_as_it_is_and_as_the_sdk_reads_it(key_file, form):
    signer = read_card_signer(key_file)
    signed = signer.sign(form({"name": "é", "x-vendor": {"n": 0.1}, "skills": []}, url=URL, bearer_needed=True))
    keys = {"keys": [signer.public_key]}
    as_the_sdk_reads_it = MessageToDict(parse_agent_card(deepcopy(signed)))

    assert verify(signed, without_signatures(signed), keys)
    assert verify(signed, drop_empty(without_signatures(as_the_sdk_reads_it)), keys)
    assert not verify(signed, {**without_signatures(signed), "name": "e"}, keys)


def test_the_public_key_is_a_json_web_key_whose_id_is_its_thumbprint(key_file):
    shown = read_card_signer(key_file).public_key

    required = {name: shown[name] for name in ("crv", "kty", "x", "y")}
    thumbprint = sha256(json.dumps(required, sort_keys=True, separators=(",", ":")).encode()).digest()
    assert shown["kid"] == urlsafe_b64encode(thumbprint).rstrip(b"=").decode()
    assert (shown["crv"], shown["kty"], shown["alg"], shown["use"]) == ("P-256", "EC", "ES256", "sig")


def test_the_public_key_has_no_private_part_and_always_the_same_id(key_file):
    key, again = read_card_signer(key_file).public_key, read_card_signer(key_file).public_key

    assert key == again
    assert key.keys() == {"kty", "crv", "x", "y", "kid", "alg", "use"}


@pytest.mark.parametrize("content", ["", "no key", CardSigner("ES384"), CardSigner("RS256"), CardSigner("EdDSA")])
def test_a_file_without_a_key_of_p_256_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "key.pem"
    path.write_text(content if isinstance(content, str) else content.export())

    with pytest.raises(InvalidSettings, match=r"^AGENT_CARD_SIGNING_KEY: .* is not a private key of P-256"):
        read_card_signer(path)
    with pytest.raises(InvalidSettings, match="cannot be read"):
        read_card_signer(tmp_path / "missing")
    assert read_card_signer(None) is None


async def test_a_plane_with_a_key_signs_its_cards_and_publishes_the_key(key_file):
    async with run_gateway_under_test(agent_card_signing_key=key_file) as plane:
        plane.registry.replies["GetCard"] = STORED

        answers = [await plane.http.get(CARD) for _ in range(2)]
        pure = await plane.http.get(CARD, headers={"A2A-Version": "1.0"})
        keys = await plane.http.get("/.well-known/jwks.json")

        for answer in (*answers, pure):
            card = answer.json()
            assert verify(card, without_signatures(card), keys.json())
            assert card["supportedInterfaces"][0]["url"] == f"{plane.url}/workspaces/{W}/a2a"
        assert answers[0].content == answers[1].content
        assert keys.headers["cache-control"] == "public, max-age=300"


async def test_the_tag_of_a_card_does_not_depend_on_its_signature(key_file):
    tags = set()
    for _ in range(2):
        async with run_gateway_under_test(
            agent_card_signing_key=key_file, external_platform_url="https://p.example"
        ) as plane:
            plane.registry.replies["GetCard"] = STORED
            tags.add((await plane.http.get(CARD)).headers["etag"])

    assert len(tags) == 1


async def test_a_plane_without_a_key_publishes_none(plane):
    assert (await plane.http.get("/.well-known/jwks.json")).json() == {"keys": []}


async def test_a_gateway_with_a_file_that_holds_no_key_does_not_start(tmp_path):
    path = tmp_path / "key.pem"
    path.write_text("no key")

    with pytest.raises(InvalidSettings, match="is not a private key"):
        async with start_gateway(Settings(mode=Mode.DEVELOPMENT, agent_card_signing_key=path, **TARGETS)):
            pass
