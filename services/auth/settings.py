"""The settings of auth."""

from datetime import timedelta
from typing import Self

from pydantic import Field, SecretStr, model_validator

from services.chassis.setting_types import Days, Seconds
from services.chassis.settings import DatabaseSettings, Mode, require_strong_secret, with_prefix


class Settings(DatabaseSettings):
    """Read from environment variables."""

    model_config = with_prefix("AUTH_")

    admin_token: SecretStr | None = Field(default=None, validation_alias="ADMIN_TOKEN")
    """The bearer of the operator; required in production. In development without it, requests need no bearer."""

    secrets_encryption_key: SecretStr | None = Field(default=None, validation_alias="SECRETS_ENCRYPTION_KEY")
    """Key that seals secrets: 32 bytes, raw or in base64, or several as `2:<base64>,1:<base64>`; the first seals."""

    audit_ledger_salt: SecretStr | None = Field(default=None, validation_alias="AUDIT_LEDGER_SALT")
    """Key of the audit chain: without it nobody can forge records. Once it was set, auth does not start without one."""

    session_lasts: Seconds = timedelta(hours=12)
    """Seconds until a browser session expires."""

    audit_retention: Days | None = Field(default=None, validation_alias="AUDIT_RETENTION_DAYS")
    """Days that audit records are kept; whatever their age when unset."""

    max_audit_records: int = Field(default=10_000_000, ge=1_000, le=1_000_000_000)
    """Audit records that are kept; beyond them the oldest are removed, however old they are."""

    @model_validator(mode="after")
    def _require_keys(self) -> Self:
        if self.mode is Mode.PRODUCTION and not self.admin_token:
            raise ValueError("ADMIN_TOKEN is required when MOLECULE_ENV=production")
        if not self.secrets_encryption_key:
            raise ValueError(f"SECRETS_ENCRYPTION_KEY is required when MOLECULE_ENV={self.mode}")
        if self.mode is Mode.PRODUCTION:
            require_strong_secret("ADMIN_TOKEN", self.admin_token)
            require_strong_secret("AUDIT_LEDGER_SALT", self.audit_ledger_salt)
        return self

    @property
    def allows_anonymous(self) -> bool:
        """Whether gates may admit requests without a bearer (open development)."""
        return self.mode is Mode.DEVELOPMENT and not self.admin_token
