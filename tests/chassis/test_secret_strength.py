"""Secrets that are too weak for production."""

import pytest

from services.chassis.secret_strength import find_weakness

SHORT = "is too short: use at least 16 characters, such as openssl rand -hex 32 makes"
PLACEHOLDER = "is a placeholder: use a secret, such as openssl rand -hex 32 makes"


@pytest.mark.covers("OPS-04")
@pytest.mark.parametrize(
    ("secret", "weakness"),
    [
        ("", SHORT),
        ("x", SHORT),
        ("0123456789abcde", SHORT),
        ("0123456789abcdef", None),
        ("a" * 40, PLACEHOLDER),
        ("abcdeabcdeabcdeabcde", PLACEHOLDER),
        ("abcdefabcdefabcdef", None),
        ("changeme-changeme", PLACEHOLDER),
        ("Change-Me-before-use", PLACEHOLDER),
        ("ChangeThisToSomethingElse", PLACEHOLDER),
        ("<the token of the operator>", PLACEHOLDER),
        ("<0123456789abcdef", None),
        ("0123456789abcdef>", None),
        ("replace_with_a_token", PLACEHOLDER),
        ("please-replace-this-text", PLACEHOLDER),
        ("your-admin-token-here", PLACEHOLDER),
        ("my-own-your-secret-text", PLACEHOLDER),
        ("${ADMIN_TOKEN:-nothing}", PLACEHOLDER),
        ("a-placeholder-for-tokens", PLACEHOLDER),
        ("the-operator-of-this-plane", None),
        ("0123456789abcdef0123456789abcdef", None),
    ],
)
def test_the_weakness_of_a_secret_is_told(secret, weakness):
    assert find_weakness(secret) == weakness
