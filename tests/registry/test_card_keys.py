import json

import pytest

from molecule_a2a.card_signatures import list_served_payloads
from molecule_a2a.cards import build_hybrid_card
from services.chassis.settings import InvalidSettings
from services.registry.card_keys import SignatureState, read_card_keys
from services.registry.errors.workspaces import InvalidBody
from tests.card_signer import CardSigner

CARD = {
    "name": "é",
    "x-vendor": {"n": 0.1, "large": 1e300},
    "provider": {"organization": "o", "url": ""},
    "supportedInterfaces": [
        {"url": "https://a.example", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"},
        {"url": "https://a.example", "protocolBinding": "JSONRPC", "protocolVersion": "0.3"},
    ],
}
WITHOUT_EMPTY = {**CARD, "provider": {"organization": "o"}}


@pytest.fixture(scope="module")
def author():
    return CardSigner()


@pytest.fixture
def trusting(tmp_path):
    """Return a function that makes the keys of an operator who trusts signers."""

    def trust(*signers):
        path = tmp_path / "keys.json"
        path.write_text(json.dumps({"keys": [signer.publish() for signer in signers]}))
        return read_card_keys(path)

    return trust


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "ES512", "EdDSA", "RS256", "PS384"])
async def test_a_card_is_verified_with_a_key_of_any_type(trusting, algorithm):
    signer = CardSigner(algorithm)
    keys = trusting(signer)

    assert await keys.judge(signer.sign(CARD)) is SignatureState.VERIFIED
    with pytest.raises(InvalidBody):
        await keys.judge({**signer.sign(CARD), "name": "e"})


@pytest.mark.parametrize(
    ("card", "covered"),
    [
        (CARD, CARD),
        (CARD, WITHOUT_EMPTY),
        (build_hybrid_card(WITHOUT_EMPTY), {**WITHOUT_EMPTY, "provider": {"organization": "o"}}),
    ],
    ids=["as it is", "without empty members", "of both versions"],
)
async def test_a_signature_covers_a_card_in_each_form_that_signers_use(trusting, author, card, covered):
    assert await trusting(author).judge(author.sign(card, covered=covered)) is SignatureState.VERIFIED


async def test_a_card_without_a_known_signature_is_accepted(trusting, author):
    keys = trusting(author)

    assert await keys.judge(CARD) is SignatureState.UNSIGNED
    assert await keys.judge({**CARD, "signatures": []}) is SignatureState.UNSIGNED
    for signatures in ("x", [7], [{"protected": "x", "signature": "y"}]):
        assert await keys.judge({**CARD, "signatures": signatures}) is SignatureState.UNVERIFIED
    assert await keys.judge(CardSigner(key_id="stranger").sign(CARD)) is SignatureState.UNVERIFIED
    assert await read_card_keys(None).judge(author.sign(CARD)) is SignatureState.UNVERIFIED


async def test_one_wrong_signature_of_a_known_key_is_enough(trusting, author):
    other = CardSigner(key_id="other")
    signed = other.sign(author.sign(CARD), covered=CARD)
    wrong = other.sign(author.sign(CARD), covered={**CARD, "name": "e"})

    assert await trusting(author, other).judge(signed) is SignatureState.VERIFIED
    assert await trusting(author).judge(wrong) is SignatureState.VERIFIED
    with pytest.raises(InvalidBody) as refusal:
        await trusting(author, other).judge(wrong)
    assert refusal.value.details == {
        "reason": "invalid_signature",
        "detail": "agent_card has a signature that does not fit",
    }


async def test_a_signature_of_a_part_of_a_card_counts_beside_one_of_the_whole_card_only(trusting, author):
    _, known_part = (json.loads(payload) for payload in list_served_payloads(CARD))
    keys = trusting(author)

    assert await keys.judge(author.sign(author.sign(CARD), covered=known_part)) is SignatureState.VERIFIED
    with pytest.raises(InvalidBody):
        await keys.judge(author.sign(CARD, covered=known_part))


@pytest.mark.parametrize("algorithm", ["none", "HS256", "ES384", "RS256", "EdDSA"])
async def test_a_card_does_not_choose_an_algorithm_that_the_key_has_not(trusting, author, algorithm):
    with pytest.raises(InvalidBody):
        await trusting(author).judge(author.sign(CARD, algorithm=algorithm))


async def test_another_key_with_the_same_id_does_not_fit(trusting, author):
    with pytest.raises(InvalidBody):
        await trusting(author).judge(CardSigner().sign(CARD))
    with pytest.raises(InvalidBody):
        await trusting(CardSigner("EdDSA")).judge(author.sign(CARD))
    with pytest.raises(InvalidBody):
        await trusting(CardSigner("RS256")).judge(author.sign(CARD))


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"keys": 7}',
        '{"keys": [7]}',
        '{"keys": [{"kty": "EC"}]}',
        '{"keys": [{"kid": "a", "kty": "oct", "k": "AA"}]}',
        '{"keys": [{"kid": "a", "kty": "EC", "crv": "P-1", "x": "AA", "y": "AA"}]}',
        '{"keys": [{"kid": "a", "kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}]}',
        '{"keys": [{"kid": "a", "kty": "RSA", "e": "AQAB", "n": "AAAA"}]}',
        '{"keys": [{"kid": "a", "kty": "OKP", "crv": "Ed25519", "x": 7}]}',
    ],
)
def test_a_file_that_holds_no_keys_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "keys.json"
    path.write_text(content)

    with pytest.raises(InvalidSettings, match=r"^AGENT_CARD_KEYS: .* is not a JSON Web Key Set"):
        read_card_keys(path)


def test_a_missing_file_is_refused_in_one_line(tmp_path):
    with pytest.raises(InvalidSettings, match="cannot be read"):
        read_card_keys(tmp_path / "missing")
