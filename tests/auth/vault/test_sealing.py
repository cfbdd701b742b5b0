"""Tests sealing: a secret opens with its owner, name and key only."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth.errors import SecretUnreadable
from services.auth.vault.sealing import KEY_FORMAT_MESSAGE, Sealer

OLD = bytes(range(32))
NEW = bytes(range(32, 64))
OLD_TEXT = base64.b64encode(OLD).decode()
NEW_TEXT = base64.b64encode(NEW).decode()

sealer = Sealer.parse(OLD_TEXT)
names = st.text(max_size=20)


@given(st.text(), names, names)
def test_a_sealed_secret_opens(plain, owner, name):
    assert sealer.open(sealer.seal(plain, owner=owner, name=name), owner=owner, name=name) == plain


@given(names, names, names, names)
def test_a_sealed_secret_opens_for_no_other_owner_or_name(owner, name, another, other):
    sealed = sealer.seal("secret", owner=owner, name=name)
    if (owner, name) != (another, other):
        with pytest.raises(SecretUnreadable):
            sealer.open(sealed, owner=another, name=other)


def test_owner_and_name_are_separated():
    with pytest.raises(SecretUnreadable):
        sealer.open(sealer.seal("secret", owner="ab", name="c"), owner="a", name="bc")


@pytest.mark.covers("PROV-25")
@given(st.data())
def test_a_changed_bit_is_detected(data):
    version, _, body = sealer.seal("secret", owner="o", name="n").partition(":")
    raw = bytearray(base64.b64decode(body))
    bit = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SecretUnreadable):
        sealer.open(f"{version}:{base64.b64encode(raw).decode()}", owner="o", name="n")


@given(st.text())
def test_an_arbitrary_text_raises_secret_unreadable(text):
    with pytest.raises(SecretUnreadable):
        sealer.open(text, owner="o", name="n")


def test_sealing_twice_gives_different_texts():
    assert sealer.seal("secret", owner="o", name="n") != sealer.seal("secret", owner="o", name="n")


@pytest.mark.covers("PROV-25")
def test_secrets_of_the_old_and_the_new_key_open():
    before = sealer.seal("old", owner="o", name="n")
    changed = Sealer.parse(f"2:{NEW_TEXT},1:{OLD_TEXT}")

    after = changed.seal("new", owner="o", name="n")

    assert changed.open(before, owner="o", name="n") == "old"
    assert changed.open(after, owner="o", name="n") == "new"
    assert after.startswith("2:")


@pytest.mark.covers("PROV-25")
def test_an_unknown_version_is_named_in_the_error():
    with pytest.raises(SecretUnreadable) as refusal:
        sealer.open("99:" + sealer.seal("secret", owner="o", name="n")[2:], owner="o", name="n")
    assert refusal.value.details == {"key_version": "99"}


def test_the_error_does_not_repeat_an_unsealed_secret():
    with pytest.raises(SecretUnreadable) as refusal:
        sealer.open("plaintext", owner="o", name="n")
    assert "plaintext" not in repr(refusal.value.details)


@pytest.mark.parametrize(
    "text",
    ["k" * 32, "with:colons,and:commas,123456789", OLD_TEXT, f" {OLD_TEXT}\n", f"1:{OLD_TEXT}", f"3:{'k' * 32}"],
)
def test_keys_are_parsed_in_every_documented_form(text):
    parsed = Sealer.parse(text)
    assert parsed.open(parsed.seal("s", owner="o", name="n"), owner="o", name="n") == "s"


def test_a_key_without_a_version_has_version_one():
    assert Sealer.parse(f"1:{OLD_TEXT}").open(sealer.seal("s", owner="o", name="n"), owner="o", name="n") == "s"


def test_base64url_keys_are_parsed():
    key = b"\xfb\xff" * 16
    plain, url = Sealer.parse(base64.b64encode(key).decode()), Sealer.parse(base64.urlsafe_b64encode(key).decode())
    assert url.open(plain.seal("s", owner="o", name="n"), owner="o", name="n") == "s"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "short",
        OLD_TEXT[:-4],
        f"x:{OLD_TEXT}",
        f"1:{OLD_TEXT},1:{NEW_TEXT}",
        f"1:{OLD_TEXT},",
        "1:",
        "²:" + OLD_TEXT,
        f"01:{OLD_TEXT}",
    ],
)
def test_an_invalid_key_is_refused_and_not_repeated(text):
    with pytest.raises(ValueError, match="SECRETS_ENCRYPTION_KEY") as refusal:
        Sealer.parse(text)
    assert str(refusal.value) == KEY_FORMAT_MESSAGE


def test_the_repr_of_a_sealer_shows_versions_and_no_keys():
    shown = repr(Sealer.parse(f"2:{NEW_TEXT},1:{OLD_TEXT}"))
    assert shown == "Sealer(versions=['1', '2'], seals_with=2)"
