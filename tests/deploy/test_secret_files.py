"""The secrets and certificates of a plane in containers."""

import io
import sys
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest
from cryptography import x509

from deploy import secret_files
from deploy.errors import StartError
from deploy.passwords import derive_password

DIRECTORIES = ("authority", "postgres", "migration", "auth", "registry", "provisioner", "a2a_proxy", "gateway")


@pytest.fixture
def root(tmp_path):
    for directory in DIRECTORIES:
        (tmp_path / directory).mkdir()
    return tmp_path


def read_all(root):
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_each_service_gets_its_own_secrets_only(root):
    secret_files.write_files(root, "")

    found = {name: {path.name for path in (root / name).iterdir()} for name in DIRECTORIES[1:]}
    certificate = {"ca.pem", "cert.pem", "key.pem"}
    assert found == {
        "postgres": {"password"},
        "migration": {"database-url"},
        "auth": {*certificate, "database-url", "admin-token", "secrets-encryption-key", "audit-ledger-salt"},
        "registry": {*certificate, "database-url"},
        "provisioner": {*certificate, "database-url"},
        "a2a_proxy": {*certificate, "database-url"},
        "gateway": {*certificate, "admin-token-sha256", "metrics-token", "agent-card-signing-key.pem"},
    }


def test_only_the_user_of_the_services_can_read_the_files(root):
    secret_files.write_files(root, "")

    modes = {path.stat().st_mode & 0o777 for name in DIRECTORIES[2:] for path in (root / name).iterdir()}
    assert modes == {0o400}
    assert (root / "postgres" / "password").stat().st_mode & 0o777 == 0o440


def test_second_start_changes_nothing(root):
    secret_files.write_files(root, "")
    before = read_all(root)

    secret_files.write_files(root, "")

    assert read_all(root) == before


def test_certificates_are_renewed_before_they_end_and_keep_their_authority(root):
    secret_files.write_files(root, "")
    before = read_all(root)
    last = x509.load_pem_x509_certificate(before["auth/cert.pem"]).not_valid_after_utc

    secret_files.write_files(root, "", now=last - secret_files.RENEWAL_BEFORE_END - timedelta(days=1))
    assert read_all(root) == before
    secret_files.write_files(root, "", now=last - secret_files.RENEWAL_BEFORE_END + timedelta(days=1))

    after = read_all(root)
    assert after["auth/cert.pem"] != before["auth/cert.pem"]
    assert after["auth/ca.pem"] == before["auth/ca.pem"]
    assert after["auth/admin-token"] == before["auth/admin-token"]
    assert x509.load_pem_x509_certificate(after["auth/cert.pem"]).not_valid_after_utc > datetime.now(UTC)


def test_each_service_has_its_own_login_in_the_database_of_the_plane(root):
    secret_files.write_files(root, "")

    password = (root / "postgres" / "password").read_text()
    url = (root / "registry" / "database-url").read_text()
    login = derive_password(password, "molecule_registry")
    assert url == f"postgresql://molecule_registry:{login}@postgres:5432/molecule"


def test_database_of_the_operator_is_used_by_all_services(root):
    secret_files.write_files(root, "postgresql://plane:p@db.example/plane")

    urls = {path.read_text() for path in root.glob("*/database-url")}
    assert urls == {"postgresql://plane:p@db.example/plane"}


def test_secret_of_the_operator_replaces_the_generated_one_everywhere(root, monkeypatch):
    monkeypatch.setattr(secret_files, "ROOT", root)
    assert secret_files.main([]) == 0
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a-token-of-the-operator\n")))

    assert secret_files.main(["set", "admin-token"]) == 0

    assert (root / "auth" / "admin-token").read_text() == "a-token-of-the-operator"
    digest = sha256(b"a-token-of-the-operator").hexdigest()
    assert (root / "gateway" / "admin-token-sha256").read_text() == digest


@pytest.mark.parametrize("value", [b"", b"\n", b"\xff", b"x" * 70_000], ids=["empty", "line", "binary", "long"])
def test_value_that_is_no_secret_is_refused(root, value):
    with pytest.raises(StartError, match="admin-token is"):
        secret_files.replace_secret(root / "authority", "admin-token", value)


def test_directory_that_cannot_be_written_is_named(root, monkeypatch, capsys):
    monkeypatch.setattr(secret_files, "ROOT", root / "absent")

    assert secret_files.main([]) == 1

    assert "absent/authority" in capsys.readouterr().err


def test_unknown_secret_is_refused_with_the_names_that_exist(capsys):
    assert secret_files.main(["set", "password"]) == 1

    assert "admin-token|secrets-encryption-key" in capsys.readouterr().err
