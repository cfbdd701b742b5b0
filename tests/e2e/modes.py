"""The two modes of a plane, as environments."""

PRODUCTION = {
    "MOLECULE_ENV": "production",
    "ADMIN_TOKEN": "the-operator-of-this-plane",
    "SECRETS_ENCRYPTION_KEY": "0123456789abcdef0123456789abcdef",
    "RATE_LIMIT": "1000000",
    "TRUSTED_PROXIES": "127.0.0.1",
}
"""As an operator would run it, but for a limit that would end a test, and a proxy that gives everybody an address."""

MODES: dict[str, dict[str, str]] = {"open": {}, "production": PRODUCTION}
