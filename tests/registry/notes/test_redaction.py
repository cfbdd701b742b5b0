import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.registry.notes.redaction import PATTERNS, redact_secrets

BASE64URL = string.ascii_letters + string.digits + "-_"
ALPHANUMERIC = string.ascii_letters + string.digits


def run(alphabet, shortest, longest=60):
    return st.text(alphabet, min_size=shortest, max_size=longest)


def made(prefix, rest):
    return rest.map(lambda text: prefix + text)


SECRETS = {
    "PRIVATE_KEY": run(BASE64URL + "\n", 20).map(
        lambda text: f"-----BEGIN RSA PRIVATE KEY-----\n{text}\n-----END RSA PRIVATE KEY-----"
    ),
    "CONNECTION_STRING": run(ALPHANUMERIC, 1).map(lambda word: f"postgres://app:{word}@db.internal:5432/app"),
    "JWT": st.tuples(run(BASE64URL, 8), run(BASE64URL, 8), run(BASE64URL, 8)).map(
        lambda parts: "eyJ{}.eyJ{}.{}".format(*parts)
    ),
    "ANTHROPIC_KEY": made("sk-ant-", run(BASE64URL, 20)),
    "API_KEY": made("sk-proj-", run(BASE64URL, 20)),
    "GITHUB_TOKEN": made("ghp_", run(ALPHANUMERIC, 36)),
    "GITLAB_TOKEN": made("glpat-", run(BASE64URL, 20)),
    "AWS_ACCESS_KEY": made("AKIA", run(string.ascii_uppercase + string.digits, 16, 16)),
    "GOOGLE_API_KEY": made("AIza", run(BASE64URL, 35)),
    "SLACK_TOKEN": made("xoxb-", run(ALPHANUMERIC + "-", 10)),
    "STRIPE_KEY": made("sk_live_", run(ALPHANUMERIC, 16)),
    "SENDGRID_KEY": st.tuples(run(BASE64URL, 16), run(BASE64URL, 16)).map("SG.{0[0]}.{0[1]}".format),
    "NPM_TOKEN": made("npm_", run(ALPHANUMERIC, 36)),
    "PYPI_TOKEN": made("pypi-", run(BASE64URL, 50)),
    "HUGGINGFACE_TOKEN": made("hf_", run(ALPHANUMERIC, 30)),
    "BEARER_TOKEN": run(ALPHANUMERIC, 15).map(lambda text: f"Bearer 1{text}"),
    "SECRET": run(ALPHANUMERIC, 8).map(lambda text: f"DB_PASSWORD={text}"),
}
"""Realistic examples of every label."""

labelled = st.sampled_from(sorted(SECRETS)).flatmap(lambda label: SECRETS[label].map(lambda secret: (label, secret)))

words = st.text(string.ascii_lowercase + " .,\n", max_size=40)
"""Text without secrets."""


def test_every_label_has_an_example():
    assert {label for label, _ in PATTERNS} == SECRETS.keys()


@given(labelled, words, words)
def test_a_secret_is_redacted_at_any_position_and_the_rest_is_kept(labelled, before, after):
    label, secret = labelled
    kept = {"BEARER_TOKEN": "Bearer ", "SECRET": "DB_PASSWORD="}.get(label, "")

    assert redact_secrets(f"{before}\n{secret}\n{after}") == f"{before}\n{kept}[REDACTED:{label}]\n{after}"


@given(st.lists(st.one_of(labelled.map(lambda pair: pair[1]), words, st.sampled_from(list("'\"=:@/- ")))).map("".join))
def test_redacting_twice_changes_nothing(text):
    once = redact_secrets(text)

    assert redact_secrets(once) == once


@given(words)
def test_text_without_secrets_is_not_changed(text):
    assert redact_secrets(text) == text


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ('{"api_key": "0123456789abc"}', '{"api_key": "[REDACTED:SECRET]"}'),
        (
            "curl -H 'Authorization: bearer abc.DEF-0123456789'",
            "curl -H 'Authorization: bearer [REDACTED:BEARER_TOKEN]'",
        ),
        ("https://h/x?token=0123456789abc&y=1", "https://h/x?token=[REDACTED:SECRET]&y=1"),
        ("redis://:hunter2@cache:6379/0, then", "[REDACTED:CONNECTION_STRING] then"),
        ("-----BEGIN PRIVATE KEY-----\nMIIE", "[REDACTED:PRIVATE_KEY]"),
        (
            "the bearer responsibilities of the token: be careful",
            "the bearer responsibilities of the token: be careful",
        ),
        ("http://localhost:8080/a@b and sk-short", "http://localhost:8080/a@b and sk-short"),
        ("password=short", "password=short"),
    ],
)
def test_a_text_is_redacted_as_expected(text, kept):
    assert redact_secrets(text) == kept


@pytest.mark.parametrize(
    "piece", ["eyJ-", "sk-", "a://", "a://b:", "Bearer ", "password=", "-----BEGIN PRIVATE KEY", "_"]
)
def test_a_text_made_to_be_slow_is_redacted_in_linear_time(piece):
    text = piece * (100_000 // len(piece))

    assert redact_secrets(text)
