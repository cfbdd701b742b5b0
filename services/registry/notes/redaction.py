"""Replaces secrets in texts of agents, so that none is stored by accident.

| Label               | What is recognised                                                                    |
|---------------------|---------------------------------------------------------------------------------------|
| `PRIVATE_KEY`       | PEM blocks of private keys, also those without an end                                  |
| `CONNECTION_STRING` | URLs with a password: `postgres://user:password@host/db`                               |
| `JWT`               | three parts of base64url, of which the first two begin like JSON                       |
| `ANTHROPIC_KEY`     | `sk-ant-...`                                                                           |
| `API_KEY`           | `sk-...`, `sk-proj-...`, as OpenAI and many others write them                          |
| `GITHUB_TOKEN`      | `ghp_ gho_ ghu_ ghs_ ghr_ ...`, `github_pat_...`                                       |
| `GITLAB_TOKEN`      | `glpat-...`                                                                            |
| `AWS_ACCESS_KEY`    | `AKIA...`, `ASIA...`                                                                   |
| `GOOGLE_API_KEY`    | `AIza...`                                                                              |
| `SLACK_TOKEN`       | `xoxb- xoxp- ...`                                                                      |
| `STRIPE_KEY`        | `sk_live_ rk_live_ sk_test_ rk_test_ ...`                                              |
| `SENDGRID_KEY`      | `SG.....`                                                                              |
| `NPM_TOKEN`         | `npm_...`                                                                              |
| `PYPI_TOKEN`        | `pypi-...`                                                                             |
| `HUGGINGFACE_TOKEN` | `hf_...`                                                                               |
| `BEARER_TOKEN`      | what follows `Bearer ` and contains a digit                                            |
| `SECRET`            | the value of a name that ends in password, secret, token or key: `DB_PASSWORD=...`     |

Every pattern begins at the start of a run of its characters and uses possessive quantifiers (`++`), so that the search
takes linear time on every text.
"""

import re

_RUN = r"(?<![A-Za-z0-9_-])"
"""The start of a token."""

_END = r"(?![A-Za-z0-9_-])"
"""The end of a token of fixed length."""

_NAMED = (
    r"(?<![A-Za-z0-9_])[A-Za-z0-9_]{0,64}?(?i:password|passwd|pwd|secret|token|api_?key|access_?key)"
    r"(?:[\"']?[ ]?=[ ]?[\"']?|[\"']?[ ]?:[ ]?[\"'])"
)
"""A name before its value: `DB_PASSWORD=`, `"api_key": "`."""

_TOKENS = (
    ("JWT", r"eyJ[A-Za-z0-9_-]{8,}+\.eyJ[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]{8,}+"),
    ("ANTHROPIC_KEY", r"sk-ant-[A-Za-z0-9_-]{20,}+"),
    ("API_KEY", r"sk-[A-Za-z0-9_-]{20,}+"),
    ("GITHUB_TOKEN", r"(?:gh[pousr]_[A-Za-z0-9]{36,}+|github_pat_[A-Za-z0-9_]{22,}+)"),
    ("GITLAB_TOKEN", r"glpat-[A-Za-z0-9_-]{20,}+"),
    ("AWS_ACCESS_KEY", r"(?:AKIA|ASIA)[0-9A-Z]{16}" + _END),
    ("GOOGLE_API_KEY", r"AIza[0-9A-Za-z_-]{35,}+"),
    ("SLACK_TOKEN", r"xox[abeoprs]-[A-Za-z0-9-]{10,}+"),
    ("STRIPE_KEY", r"[rs]k_(?:live|test)_[A-Za-z0-9]{16,}+"),
    ("SENDGRID_KEY", r"SG\.[A-Za-z0-9_-]{16,}+\.[A-Za-z0-9_-]{16,}+"),
    ("NPM_TOKEN", r"npm_[A-Za-z0-9]{36,}+"),
    ("PYPI_TOKEN", r"pypi-[A-Za-z0-9_-]{50,}+"),
    ("HUGGINGFACE_TOKEN", r"hf_[A-Za-z0-9]{30,}+"),
)

_PRIVATE_KEY = (
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
    r".*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\Z)"
)
_URL = r"[A-Za-z][A-Za-z0-9+.-]{1,30}://[^\s:/@\"'<>]{0,256}:[^\s/@\"'<>]{1,512}@[^\s\"'<>]*+"
_BEARER = r"(?=[A-Za-z._~+/=-]{0,64}[0-9])[A-Za-z0-9._~+/=-]{16,}+"

PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (label, re.compile(f"({before}){secret}", re.DOTALL))
    for label, before, secret in (
        ("PRIVATE_KEY", "", _PRIVATE_KEY),
        ("CONNECTION_STRING", r"(?<![A-Za-z0-9+.-])", _URL),
        *((label, _RUN, token) for label, token in _TOKENS),
        ("BEARER_TOKEN", r"(?<![A-Za-z0-9])(?i:bearer)[ \t]{1,4}", _BEARER),
        ("SECRET", _NAMED, r"(?!\[REDACTED:)[^\s\"',;&]{8,}+"),
    )
)
"""Label and pattern, in the order of the search. The first group is the text before a secret, which is kept."""


def redact_secrets(text: str) -> str:
    """Return the text with every recognised secret replaced by `[REDACTED:<label>]`."""
    for label, pattern in PATTERNS:
        text = pattern.sub(rf"\1[REDACTED:{label}]", text)
    return text
