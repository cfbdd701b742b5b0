import asyncio
import sys
from hashlib import sha256

import pytest
from pydantic import SecretStr, ValidationError

from gateway.settings import AgentCards, Settings
from services.chassis.settings import Mode

TARGETS = dict.fromkeys(
    ("registry_targets", "auth_targets", "a2a_proxy_targets", "provisioner_targets"), "unix:/nowhere"
)


def settings(**values):
    return Settings(**{"mode": Mode.DEVELOPMENT, **TARGETS, **values})


def test_development_binds_to_loopback_only():
    assert settings().host == "127.0.0.1"
    for host in ("127.0.0.1", "127.9.9.9", "::1", "localhost"):
        assert settings(bind_host=host).host == host
    for host in ("0.0.0.0", "::", "192.168.1.1", "plane.example"):  # noqa: S104 - refused
        with pytest.raises(ValidationError, match="may only bind a loopback address"):
            settings(bind_host=host)


def test_production_requires_an_admin_token_and_binds_to_all_addresses():
    with pytest.raises(ValidationError, match="ADMIN_TOKEN is required when MOLECULE_ENV=production"):
        settings(mode=Mode.PRODUCTION)
    with pytest.raises(ValidationError, match="ADMIN_TOKEN is required when MOLECULE_ENV=production"):
        settings(mode=Mode.PRODUCTION, admin_token=SecretStr(""))

    assert settings(mode=Mode.PRODUCTION, admin_token=SecretStr("a-token-for-the-operator")).host == "0.0.0.0"  # noqa: S104 - containers


@pytest.mark.covers("ENV-10")
def test_digest_of_the_admin_token_is_enough_for_production():
    digest = sha256(b"t").digest()

    with_digest = settings(mode=Mode.PRODUCTION, admin_token_sha256=digest.hex())
    assert with_digest.admin_token_digest == settings(admin_token=SecretStr("t")).admin_token_digest == digest
    assert not settings(admin_token_sha256=digest.hex()).is_open
    assert digest.hex() not in repr(with_digest)
    for text in ("t", "00", digest.hex() + "00"):
        with pytest.raises(ValidationError, match="ADMIN_TOKEN_SHA256 must be the SHA-256 digest of ADMIN_TOKEN"):
            settings(admin_token_sha256=text)


def test_only_development_without_an_admin_token_is_open():
    assert settings().is_open
    assert not settings(admin_token=SecretStr("a-token-for-the-operator")).is_open
    assert not settings(mode=Mode.PRODUCTION, admin_token=SecretStr("a-token-for-the-operator")).is_open


def test_origins_and_cards_are_closed_in_production_by_default():
    production = {"mode": Mode.PRODUCTION, "admin_token": SecretStr("a-token-for-the-operator")}

    assert settings().origins == {"http://localhost:3000", "http://localhost:3001"}
    assert settings(**production).origins == set()
    assert settings(**production, cors_origins="https://a.example, https://b.example").origins == {
        "https://a.example",
        "https://b.example",
    }
    assert settings().cards_are_public
    assert not settings(agent_cards=AgentCards.AUTHENTICATED).cards_are_public
    assert not settings(**production).cards_are_public
    assert settings(**production, agent_cards=AgentCards.PUBLIC).cards_are_public


def test_networks_of_proxies_are_separated_by_commas():
    assert settings().trusted_proxies is None
    networks = settings(trusted_proxies="10.0.0.0/8, 192.0.2.1, fd00::/8").trusted_proxies
    assert [str(network) for network in networks] == ["10.0.0.0/8", "192.0.2.1/32", "fd00::/8"]

    with pytest.raises(ValidationError):
        settings(trusted_proxies="somewhere")


def test_the_public_url_has_no_final_slash():
    assert settings(external_platform_url="https://plane.example/").external_platform_url == "https://plane.example"


@pytest.mark.covers("EDGE-36")
def test_the_names_of_the_plane_come_from_its_urls_and_the_listed_hosts():
    assert settings().host_names == {"127.0.0.1"}
    found = settings(
        external_platform_url="https://Plane.Example:8443/under/",
        platform_url="http://gateway.svc:8080",
        allowed_hosts="Alias.LAN, [FD00::1],10.0.0.7",
        bind_host="localhost",
    )
    assert found.host_names == {"plane.example", "gateway.svc", "alias.lan", "fd00::1", "10.0.0.7", "localhost"}


@pytest.mark.covers("EDGE-36", "EDGE-38")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("external_platform_url", "plane.example"),
        ("external_platform_url", "ftp://plane.example"),
        ("external_platform_url", "http://[::1"),
        ("platform_url", "gateway:8080"),
        ("allowed_hosts", "https://plane.example"),
        ("allowed_hosts", "plane.example:8080"),
        ("allowed_hosts", "*.example"),
        ("cors_origins", "*"),
        ("cors_origins", "null"),
        ("cors_origins", "console.example"),
        ("cors_origins", "https://console.example/page"),
    ],
)
def test_a_name_that_could_never_match_is_refused_at_the_start(name, value):
    with pytest.raises(ValidationError, match=r"such as|must be a URL"):
        settings(**{name: value})


async def command(*arguments, **environment):
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gateway",
        *arguments,
        env={name.upper(): value for name, value in environment.items()},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        ({}, "ADMIN_TOKEN is required when MOLECULE_ENV=production"),
        ({"admin_token": ""}, "ADMIN_TOKEN is required when MOLECULE_ENV=production"),
        (
            {"molecule_env": "development", "bind_host": "0.0.0.0"},  # noqa: S104 - refused
            "MOLECULE_ENV=development may only bind a loopback address (got 0.0.0.0)",
        ),
        (
            {"molecule_env": "staging", "admin_token": "t"},
            'MOLECULE_ENV must be "production" or "development" (got "staging")',
        ),
    ],
)
async def test_an_unsafe_configuration_is_refused_in_one_line(environment, line):
    code, out, err = await command(**environment, **TARGETS)

    assert (code, out, err) == (1, "", f"{line}\n")


async def test_every_setting_has_a_description():
    code, out, _ = await command("settings")

    assert code == 0
    assert "TRUSTED_PROXIES=\n" in out
    assert "RATE_LIMIT=600\n    Requests per minute and client address, and per bearer." in out
    assert "AUTH_TARGETS=(required)" in out
