"""Every setting of auth."""

from datetime import timedelta
from typing import Self

from pydantic import Field, SecretStr, model_validator

from services.chassis.settings import DatabaseSettings, Mode, Seconds, with_prefix


class Settings(DatabaseSettings):
    """What auth needs to know."""

    model_config = with_prefix("AUTH_")

    admin_token: SecretStr | None = Field(default=None, validation_alias="ADMIN_TOKEN")
    """The bearer of the operator; required in production. In development, without one, no request needs a bearer."""

    secrets_encryption_key: SecretStr | None = Field(default=None, validation_alias="SECRETS_ENCRYPTION_KEY")
    """What seals stored secrets: 32 bytes, raw or in base64, or several as `2:<base64>,1:<base64>`; the first seals."""

    audit_ledger_salt: SecretStr | None = Field(default=None, validation_alias="AUDIT_LEDGER_SALT")
    """Key of the audit chain: with it nobody can forge a chain who owns no more than the database."""

    session_lasts: Seconds = Field(default=timedelta(hours=12), gt=timedelta())
    """Seconds until a browser session expires."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.mode is Mode.PRODUCTION and not self.admin_token:
            raise ValueError("ADMIN_TOKEN is required when MOLECULE_ENV=production")
        if not self.secrets_encryption_key:
            raise ValueError(f"SECRETS_ENCRYPTION_KEY is required when MOLECULE_ENV={self.mode}")
        return self

    @property
    def open(self) -> bool:
        """Open development: a request without a bearer may pass."""
        return self.mode is Mode.DEVELOPMENT and not self.admin_token
