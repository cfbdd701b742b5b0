"""The list of every setting."""

import os
import re
from base64 import b64encode
from pathlib import Path

import pytest

from deploy import settings as deploy_settings
from deploy import settings_file
from molecule_cli.settings import CliSettings
from services.chassis.settings import (
    InvalidSettings,
    describe_settings,
    find_misspelt_settings,
    list_variables,
    load_settings,
)

ROOT = Path(__file__).parents[2]


def test_settings_file_matches_the_code():
    assert settings_file.FILE.read_text() == settings_file.render_settings_file(), "run `make settings`"


def test_each_setting_has_a_description():
    for module in settings_file.SOURCES:
        for kind in settings_file._find_settings_classes(module):
            for name, _, meaning in describe_settings(kind):
                assert meaning, f"{name} of {module}"


def test_check_notices_a_stale_file(tmp_path):
    stale = tmp_path / "settings.env"
    stale.write_text("#PORT=1\n")

    assert settings_file.check_settings_file(stale) == 1
    assert settings_file.check_settings_file(settings_file.FILE) == 0


def test_each_variable_of_molecule_up_is_documented():
    documented = (ROOT / "docs" / "operating.md").read_text()

    for name, _, _ in describe_settings(deploy_settings.UpSettings):
        assert re.search(rf"^\| `{name}` \|", documented, re.MULTILINE), name


KINDS = {
    f"{module} {kind.__name__}": kind
    for module in ("deploy.settings", *settings_file.SOURCES, "molecule_cli.settings")
    for kind in settings_file._find_settings_classes(module)
}
"""Every class of settings of every process."""

REQUIRED = {
    "DATABASE_URL": "postgresql://u@h/n",
    "ADMIN_TOKEN": "a-token-of-the-operator-that-is-long-enough",
    "SECRETS_ENCRYPTION_KEY": f"1:{b64encode(bytes(32)).decode()}",
}

EXAMPLES = {
    **REQUIRED,
    "AUTH_DATABASE_URL": "postgresql://auth:secret@h/n",
    "REGISTRY_DATABASE_URL": "postgresql://registry:secret@h/n",
    "PROVISIONER_DATABASE_URL": "postgresql://provisioner:secret@h/n",
    "A2A_PROXY_DATABASE_URL": "postgresql://a2a_proxy:secret@h/n",
    "ADMIN_TOKEN_SHA256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "METRICS_TOKEN": "a-token-that-opens-the-metrics",
    "PLATFORM_URL": "http://gateway.internal:8080",
    "ALLOWED_HOSTS": "plane.example, gateway.internal",
    "AUDIT_LEDGER_SALT": "a-salt-of-the-audit-log",
    "AUDIT_RETENTION_DAYS": "3650",
    "PROVISION_TIMEOUT_SECONDS": "600",
    "AGENT_URL_ALLOWED_CIDRS": "10.0.0.0/8, 192.168.7.0/24,fd00::/8",
    "TRUSTED_PROXIES": "10.0.0.1,fd00::/8",
    "CORS_ORIGINS": "https://a.example, https://b.example",
    "EXTERNAL_PLATFORM_URL": "https://plane.example/",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector.example:4318",
    "MOLECULE_ORG_ID": "an-organisation",
    "MOLECULE_DEPLOY_MODE": "self-hosted",
    "AGENT_CARDS": "public",
    "BIND_HOST": "127.0.0.1",
    "CONFIGS_DIR": "templates",
    "ORG_TEMPLATES_DIR": "templates",
    "PROVISIONER_AGENT_COMMAND": "python -m 'my agent'",
    "PROVISIONER_PLUGIN_DIRECTORY": "plugins",
    "MOLECULE_URL": "http://plane.example:8080",
    "MOLECULE_TOKEN": "a-token",
    "PORT": "8080",
    "GATEWAY_GRPC_LISTEN": "0.0.0.0:50051",
    "GATEWAY_GRPC_URL": "grpc.plane.example:443",
    "AGENT_BIND": "172.18.0.1",
    "PROVISIONER_BACKEND": "process",
    "PROVISIONER_DOCKER_FILES_IMAGE": "agents/files:1",
    "PROVISIONER_INSTALLATION_ID": "plane-1",
    "PROVISIONER_CONTROL_PLANE_URL": "https://provisioner.example",
    "PROVISIONER_CONTROL_PLANE_TOKEN": "a-token-of-the-remote-provisioner",
    "PROVISIONER_CONTROL_PLANE_TENANT_DOMAIN": "agents.example",
    "DOCKER_HOST": "unix:///var/run/docker.sock",
    "DOCKER_CERT_PATH": "certificates",
    "MOLECULE_IMAGE_PLATFORM": "linux/amd64",
    "GHCR_USER": "a-user",
    "GHCR_TOKEN": "a-token-for-images",
    "MOLECULE_CONTEXT": "production",
}
"""A value in the documented form for each setting whose default is empty."""

PATHS_OF_FILES = {"AGENT_CARD_KEYS", "AGENT_CARD_SIGNING_KEY", "PROVISIONER_CONTROL_PLANE_CA"}

SET_TOGETHER = {
    "GHCR_USER": ["GHCR_TOKEN"],
    "GHCR_TOKEN": ["GHCR_USER"],
    "MOLECULE_ORG_ID": ["PROVISIONER_CONTROL_PLANE_URL", "PROVISIONER_CONTROL_PLANE_TOKEN"],
}
"""Settings that need others."""

ACCEPTS_ZERO = {"A2A_PROXY_ACTIVITY_DELAY", "PORT"}

REPLACED_BY_DEFAULT = {"A2A_IDLE_TIMEOUT_SECONDS"}
"""Settings of which an invalid value is logged and replaced (A2A-20)."""

EACH_SETTING = [
    pytest.param(kind, name, default, id=f"{title} {name}")
    for title, kind in KINDS.items()
    for name, default, _ in describe_settings(kind)
]


def build_required_environment(kind):
    """Return what the process needs in order to start in production."""
    listed = {name: default for name, default, _ in describe_settings(kind)}
    names = [name for name, default in listed.items() if name in REQUIRED or default == "(required)"]
    mode = {"MOLECULE_ENV": "production"} if "MOLECULE_ENV" in listed else {}
    return mode | {name: REQUIRED.get(name, "unix:/nowhere") for name in names}


@pytest.fixture
def files(tmp_path):
    """Return a function that makes a file for a setting that is the path of one."""

    def make(content=""):
        path = tmp_path / f"file{len(list(tmp_path.iterdir()))}"
        path.write_text(content)
        return str(path)

    return make


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch):
    for name in list(os.environ):
        monkeypatch.delenv(name)


def give_example(name, default, files):
    """Return the variables that set the setting in its documented form, and those that it needs."""
    others = {other: EXAMPLES[other] for other in SET_TOGETHER.get(name.removesuffix("_FILE"), ())}
    return others | _give_one_example(name, default, files)


def _give_one_example(name, default, files):
    if name.endswith("_FILE"):
        return {name: files(f"{EXAMPLES[name.removesuffix('_FILE')]}\n"), name.removesuffix("_FILE"): ""}
    if "_TLS_" in name:
        prefix = name.rpartition("_")[0]
        return {f"{prefix}_{part}": files() for part in ("CERT", "KEY", "CA")}
    if name in PATHS_OF_FILES:
        return {name: files()}
    if name.endswith(("_LISTEN", "_TARGETS")) and name not in EXAMPLES:
        return {name: "unix:/somewhere"}
    return {name: default or EXAMPLES[name]}


@pytest.mark.covers("OPS-01")
@pytest.mark.parametrize(("kind", "name", "default"), EACH_SETTING)
def test_every_documented_setting_is_accepted_alone_in_its_documented_form(kind, name, default, files):
    default = "" if default == "(required)" else default

    loaded = load_settings(kind, build_required_environment(kind) | give_example(name, default, files))

    assert loaded.model_fields_set


@pytest.mark.covers("OPS-01")
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_the_whole_settings_file_without_its_comment_signs_is_accepted_by_every_process(kind):
    lines = re.findall(r"^#([A-Z0-9_]+)=(.*)$", settings_file.FILE.read_text(), re.MULTILINE)
    listed = dict(lines)
    assert len(listed) == len(lines) > 40

    required = build_required_environment(kind) | {"MOLECULE_ENV": "development"}
    if "platform_url" in kind.model_fields:  # the file lists the default of the registry; the gateway has none
        required["PLATFORM_URL"] = listed["PLATFORM_URL"]
    plain, whole = load_settings(kind, required), load_settings(kind, listed | required)

    assert whole == plain or (kind is CliSettings and whole.url == plain.url)


@pytest.mark.covers("OPS-02")
@pytest.mark.parametrize("value", ["-1", "0", "nan", "inf", "-inf", "1e999", "9" * 400, "9" * 5000, "a lot", "1e-300"])
@pytest.mark.parametrize(
    ("kind", "name", "default"), [each for each in EACH_SETTING if re.fullmatch(r"[\d.]+", each.values[2])]
)
def test_every_number_is_bounded_and_the_refusal_is_one_line_that_names_it(kind, name, default, value):
    given = build_required_environment(kind) | {name: value}
    if name in REPLACED_BY_DEFAULT:
        assert load_settings(kind, given) == load_settings(kind, build_required_environment(kind))
        return
    if value == "0" and name in ACCEPTS_ZERO and kind is not deploy_settings.UpSettings:
        load_settings(kind, given)
        return

    with pytest.raises(InvalidSettings) as refusal:
        load_settings(kind, given)

    assert name in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.covers("OPS-03")
@pytest.mark.parametrize(
    "value", ["[", '{"a": 1}', "null", "\x00", "é", "\udcff", "'", "a,b,,c", "/" * 5000, "[::1", "://"]
)
@pytest.mark.parametrize(("kind", "name", "default"), EACH_SETTING)
def test_no_value_of_any_setting_ends_in_anything_but_one_line(kind, name, default, value):
    try:
        load_settings(kind, build_required_environment(kind) | {name: value})
    except InvalidSettings as refusal:
        assert name.removesuffix("_FILE") in str(refusal)  # noqa: PT017 - most values are accepted
        assert "\n" not in str(refusal)  # noqa: PT017


@pytest.mark.covers("OPS-05")
def test_no_documented_setting_counts_as_a_misspelt_one():
    everything = {name for kind in KINDS.values() for name in list_variables(kind)}
    agents = set(re.findall(r"`([A-Z][A-Z0-9_]+)`", (ROOT / "docs" / "agents.md").read_text()))
    usual = {
        "PATH",
        "HOME",
        "HOST",
        "HOSTNAME",
        "TERM",
        "LANG",
        "PWD",
        "OLDPWD",
        "SHELL",
        "USER",
        "PS1",
        "_",
        "DISPLAY",
    }

    for title, kind in KINDS.items():
        assert list(find_misspelt_settings(dict.fromkeys(everything | agents | usual, "x"), kind)) == [], title


@pytest.mark.covers("OPS-05")
@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("ADMIN_TOKN", "ADMIN_TOKEN"),
        ("ADMIN_TOKEN_FLIE", "ADMIN_TOKEN_FILE"),
        ("admin_token", "ADMIN_TOKEN"),
        ("DATABSE_URL", "DATABASE_URL"),
        ("PROT", "PORT"),
        ("MOLECULE_HOEM", "MOLECULE_HOME"),
        ("SECRET_ENCRYPTION_KEY", "SECRETS_ENCRYPTION_KEY"),
        ("BACKNED", "BACKEND"),
    ],
)
def test_a_misspelt_setting_is_told_with_the_one_that_is_meant(given, meant):
    (line,) = find_misspelt_settings({given: "x", "UNRELATED": "y"}, deploy_settings.UpSettings)

    assert line == f"{given} is not a setting; did you mean {meant}?"
