"""The token that proves who this agent is, and the secret that proves the plane to it; a file each."""

import logging
import os
from pathlib import Path

log = logging.getLogger(__name__)


class Credentials:
    """The two files below `root`/configs. The plane may rewrite the token's at any time."""

    def __init__(self, root: Path) -> None:
        self._token_file = root / "configs" / ".auth_token"
        self._inbound_secret_file = root / "configs" / ".platform_inbound_secret"
        self._token: str | None = None

    @property
    def token(self) -> str | None:
        """The stored token, read once; None if there is none."""
        if self._token is None:
            self._token = _read(self._token_file)
        return self._token

    def reread_token(self) -> bool:
        """Look at the file again, and tell whether it holds another token than before."""
        before, self._token = self._token, _read(self._token_file)
        return self._token is not None and self._token != before

    def save_token(self, token: str | None) -> None:
        """Keep the token, if there is one. A file that cannot be written does not lose it to this process."""
        if token:
            _write(self._token_file, token)
            self._token = token

    def save_inbound_secret(self, secret: str | None) -> None:
        """Keep the secret, if there is one."""
        if secret:
            _write(self._inbound_secret_file, secret)


def _read(file: Path) -> str | None:
    try:
        return file.read_text().strip() or None
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        log.warning("cannot read %s: %s", file, error)
        return None


def _write(file: Path, text: str) -> None:
    """Replace the file as a whole: at no moment is it half written, or readable by others."""
    temporary = file.with_name(f"{file.name}.{os.getpid()}.new")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)
        with os.fdopen(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as new:
            new.write(text)
        temporary.replace(file)
    except OSError as error:
        log.warning("cannot write %s: %s", file, error)
