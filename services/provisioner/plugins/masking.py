"""Replaces credentials in the errors of sources, before they are logged."""

import re

MASK = "***"

MAX_LOGGED_CHARACTERS = 4_000

_TOKEN = re.compile(r"(?<![A-Za-z0-9])(?:gh[pousr]_[A-Za-z0-9]{8,}+|github_pat_[A-Za-z0-9_]{8,}+)")

_BEARER = re.compile(r"(?i)\b(bearer|token|basic)[ ]++[A-Za-z0-9._~+/=-]{8,}+")

_NAMED = re.compile(
    r"(?i)([A-Za-z0-9_-]{0,64}?(?:token|secret|password|api_?key)[\"']?[ ]?[=:][ ]?[\"']?)[^\s\"',;&]++"
)

_USER_INFO = re.compile(r"(?<=://)[^\s/@]++(?=@)")


def mask_credentials(text: str) -> str:
    """Return the start of a text with its credentials replaced: tokens of GitHub, bearers and named secrets."""
    shown = text[:MAX_LOGGED_CHARACTERS]
    shown = _TOKEN.sub(MASK, shown)
    shown = _NAMED.sub(rf"\1{MASK}", shown)
    shown = _BEARER.sub(rf"\1 {MASK}", shown)
    return _USER_INFO.sub(MASK, shown)
