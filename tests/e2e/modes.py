"""The two modes of a plane, as environment variables."""

PRODUCTION = {
    "MOLECULE_ENV": "production",
    "ADMIN_TOKEN": "the-operator-of-this-plane",
    "SECRETS_ENCRYPTION_KEY": "0123456789abcdef0123456789abcdef",
    "RATE_LIMIT": "1000000",
    "TRUSTED_PROXIES": "127.0.0.1",
}
"""A production plane with an unreachable rate limit; it trusts tests as proxies that set the addresses of callers."""

MODES: dict[str, dict[str, str]] = {"open": {}, "production": PRODUCTION}
