"""Stores the agent's token and the plane's inbound secret, each in a file."""

import hmac
import logging
import os
from pathlib import Path

log = logging.getLogger(__name__)


class Credentials:
    """The two files below `root`/configs. The plane may replace the token file at any time."""

    def __init__(self, root: Path) -> None:
        self._token_file = root / "configs" / ".auth_token"
        self._inbound_secret_file = root / "configs" / ".platform_inbound_secret"
        self._token: str | None = None
        self._inbound_secret: str | None = None

    @property
    def token(self) -> str | None:
        """The stored token, read from the file once; None without a token."""
        if self._token is None:
            self._token = _read(self._token_file)
        return self._token

    def reread_token(self) -> bool:
        """Read the file again; return whether it holds another token than before."""
        before, self._token = self._token, _read(self._token_file)
        return self._token is not None and self._token != before

    def save_token(self, token: str | None) -> None:
        """Store a token that is not empty. The process keeps it in memory even if the file cannot be written."""
        if token:
            _write(self._token_file, token)
            self._token = token

    def save_inbound_secret(self, secret: str | None) -> None:
        """Store a secret that is not empty. The process keeps it in memory even if the file cannot be written."""
        if secret:
            _write(self._inbound_secret_file, secret)
            self._inbound_secret = secret

    def is_inbound_secret(self, presented: bytes) -> bool:
        """Whether a bearer is the inbound secret; none is before the agent has one. Takes the same time for each."""
        if self._inbound_secret is None:
            self._inbound_secret = _read(self._inbound_secret_file)
        if self._inbound_secret is None:
            return False
        return hmac.compare_digest(presented, self._inbound_secret.encode())


def _read(file: Path) -> str | None:
    try:
        return file.read_text().strip() or None
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        log.warning("cannot read %s: %s", file, error)
        return None


def _write(file: Path, text: str) -> None:
    """Replace the file atomically; other users can never read it."""
    temporary = file.with_name(f"{file.name}.{os.getpid()}.new")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)
        with os.fdopen(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as new:
            new.write(text)
        temporary.replace(file)
    except OSError as error:
        log.warning("cannot write %s: %s", file, error)
