"""The environment variables of an instance."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis import variables
from services.provisioner import environment
from services.provisioner.errors import MissingEnvironment
from services.provisioner.model import DesiredInstance, DesiredState, Provider, Runtime, Secrets, WorkspaceId
from services.registry import catalog

DESIRED = DesiredInstance(
    workspace_id=WorkspaceId("5f0c2c1e-3c55-4b3a-9d43-9f7a3d1f0001"),
    generation=3,
    state=DesiredState.RUNNING,
    runtime="echo",
    adapter_module="molecule_agent.echo",
)

PLAIN = {
    "WORKSPACE_ID": DESIRED.workspace_id,
    "PLATFORM_URL": "http://plane:8080",
    "ADAPTER_MODULE": "molecule_agent.echo",
}

names = st.from_regex(r"[A-Z][A-Z_]{0,8}", fullmatch=True) | st.sampled_from(
    [*sorted(variables.RESERVED_NAMES), "LD_PRELOAD", "SSLKEYLOGFILE", "https_proxy", "Node_Options"]
)
texts = st.dictionaries(names, st.text(min_size=1, max_size=5), max_size=6)


def read_runtime(name):
    """Read a runtime from the registry's catalogue and convert it to the provisioner's model."""
    known = catalog.read_catalog()
    found = known.find_runtime(name)
    return Runtime(
        required=found.required,
        speaks_anthropic=found.speaks_anthropic,
        model_variables=found.model_variables,
        provider_variable=found.provider_variable,
        providers=tuple(
            Provider(
                name=provider.name,
                prefixes=provider.model_prefixes,
                keys=provider.keys,
                anthropic_url=provider.anthropic_url,
            )
            for provider in known.providers
        ),
    )


ECHO, CLAUDE, HERMES = read_runtime("echo"), read_runtime("claude-code"), read_runtime("hermes")


def resolve(desired=DESIRED, known=ECHO, *, global_secrets=None, **workspace_secrets):
    secrets = Secrets(global_secrets=global_secrets or {}, workspace_secrets=workspace_secrets)
    return dict(environment.resolve_environment(desired, known, secrets, platform_url="http://plane:8080"))


def test_agent_receives_its_id_and_the_url_of_the_plane():
    assert resolve() == PLAIN


@pytest.mark.covers("PROV-24")
@pytest.mark.parametrize(("parent_id", "expected"), [(None, None), ("", None), ("p-1", "p-1")])
def test_parent_is_set_only_if_there_is_one(parent_id, expected):
    assert resolve(replace(DESIRED, parent_id=parent_id)).get("PARENT_ID") == expected


def test_workspace_secret_wins_over_a_global_one():
    assert resolve(global_secrets={"A": "of all", "B": "of all"}, B="own") == PLAIN | {"A": "of all", "B": "own"}


@pytest.mark.covers("REG-55")
@pytest.mark.parametrize(("chosen", "expected"), [("m-1", "m-1"), (None, "m-2")])
def test_model_of_the_workspace_wins_over_a_secret(chosen, expected):
    assert resolve(replace(DESIRED, model=chosen), MODEL="m-2")["MODEL"] == expected


def test_model_is_not_set_without_a_choice():
    assert "MODEL" not in resolve()


@pytest.mark.covers("ENV-02")
@given(texts, texts, st.none() | st.text(min_size=1, max_size=5))
def test_secrets_cannot_set_reserved_variables(global_secrets, workspace_secrets, model):
    secrets = Secrets(global_secrets=global_secrets, workspace_secrets=workspace_secrets)
    found = dict(
        environment.resolve_environment(replace(DESIRED, model=model), ECHO, secrets, platform_url="http://plane:8080")
    )

    assert {name: value for name, value in found.items() if variables.is_reserved(name)} == PLAIN
    for name in {*global_secrets, *workspace_secrets} - {"MODEL"}:
        if not variables.is_reserved(name):
            assert found[name] == {**global_secrets, **workspace_secrets}[name]


@pytest.mark.covers("PROV-26", "PROV-27", "PROV-28")
@pytest.mark.parametrize(
    ("model", "key", "url"),
    [
        ("MiniMax-M3", "MINIMAX_API_KEY", "https://api.minimax.io/anthropic"),
        ("moonshot/kimi-k2.6", "KIMI_API_KEY", "https://api.moonshot.ai/anthropic"),
        ("moonshot/kimi-k2.6", "MOONSHOT_API_KEY", "https://api.moonshot.ai/anthropic"),
    ],
)
def test_key_of_the_models_provider_is_set_under_anthropics_names(model, key, url):
    found = resolve(replace(DESIRED, model=model), CLAUDE, global_secrets={key: "the-key"})

    assert (found["ANTHROPIC_AUTH_TOKEN"], found["ANTHROPIC_BASE_URL"]) == ("the-key", url)
    assert found[key] == "the-key"


@pytest.mark.covers("PROV-27")
def test_model_from_a_secret_selects_the_provider():
    assert resolve(known=CLAUDE, MODEL="MiniMax-M3", MINIMAX_API_KEY="k")["ANTHROPIC_AUTH_TOKEN"] == "k"


@pytest.mark.covers("PROV-27")
def test_selected_provider_wins_over_the_models_provider():
    found = resolve(
        replace(DESIRED, model="MiniMax-M3"), CLAUDE, MODEL_PROVIDER="Moonshot", MINIMAX_API_KEY="m", KIMI_API_KEY="k"
    )

    assert (found["ANTHROPIC_AUTH_TOKEN"], found["ANTHROPIC_BASE_URL"]) == ("k", "https://api.moonshot.ai/anthropic")


def test_anthropic_key_is_not_sent_to_another_provider():
    found = resolve(
        replace(DESIRED, model="MiniMax-M3"), CLAUDE, global_secrets={"ANTHROPIC_API_KEY": "a"}, MINIMAX_API_KEY="m"
    )

    assert "a" not in found.values()


def test_anthropic_models_use_anthropics_key():
    given = {"ANTHROPIC_API_KEY": "a", "MINIMAX_API_KEY": "m"}

    assert resolve(replace(DESIRED, model="anthropic/claude-sonnet-4-5"), CLAUDE, **given) == PLAIN | given | {
        "MODEL": "anthropic/claude-sonnet-4-5"
    }


def test_other_runtimes_receive_their_keys_unchanged():
    assert "ANTHROPIC_AUTH_TOKEN" not in resolve(replace(DESIRED, model="MiniMax-M3"), ECHO, MINIMAX_API_KEY="k")


@pytest.mark.covers("PROV-28")
@pytest.mark.parametrize("tail", ["", "/", "/v1", "/v1/"])
def test_url_loses_its_api_version(tail):
    assert (
        environment.strip_api_version(f"https://api.minimax.io/anthropic{tail}") == "https://api.minimax.io/anthropic"
    )


@pytest.mark.covers("PROV-29")
def test_hermes_receives_model_and_provider_under_its_own_names():
    found = resolve(replace(DESIRED, model="nousresearch/hermes-4-70b"), HERMES, NOUS_API_KEY="k")

    assert found["HERMES_DEFAULT_MODEL"] == found["MODEL"] == "nousresearch/hermes-4-70b"
    assert found["MODEL_PROVIDER"] == "nousresearch"
    assert resolve(known=HERMES, HERMES_DEFAULT_MODEL="openai/gpt-5.1")["MODEL_PROVIDER"] == "openai"


@pytest.mark.covers("PROV-17")
def test_error_names_every_missing_variable():
    needy = Runtime(required=(("A",), ("B",), ("C", "D")))

    with pytest.raises(MissingEnvironment) as refused:
        resolve(known=needy)

    assert refused.value.missing == ("A", "B", "C or D")
    assert refused.value.message == "missing required environment"
    assert resolve(known=needy, A="1", B="2", D="4")["D"] == "4"


@pytest.mark.covers("PROV-17")
@pytest.mark.parametrize(
    "given",
    [{"ANTHROPIC_API_KEY": "k"}, {"CLAUDE_CODE_OAUTH_TOKEN": "k"}, {"MODEL": "MiniMax-M3", "MINIMAX_API_KEY": "k"}],
)
def test_claude_code_starts_with_any_key_that_fits_its_model(given):
    assert resolve(known=CLAUDE, **given)
    with pytest.raises(MissingEnvironment):
        resolve(known=CLAUDE, MINIMAX_API_KEY="k")


@given(texts, texts)
def test_repr_hides_secrets(global_secrets, workspace_secrets):
    assert repr(Secrets(global_secrets=global_secrets, workspace_secrets=workspace_secrets)) == "Secrets()"


# Boundaries of each decision ─────────────────────────────────────────────────

SHORT = Provider(name="short", prefixes=("m",), keys=("SHORT_KEY", "OTHER_KEY"), anthropic_url="https://short.example")
LONG = Provider(name="long", prefixes=("x-", "m-1"), keys=("LONG_KEY",))
ANTHROPIC_RUNTIME = Runtime(speaks_anthropic=True, provider_variable="PROVIDER_NAME", providers=(SHORT, LONG))


@pytest.mark.parametrize(
    ("model", "provider"),
    [("m-1", LONG), ("m-2", SHORT), ("M-1-large", LONG), ("x-1", LONG), ("other", None), ("", None)],
)
@pytest.mark.parametrize("providers", [(SHORT, LONG), (LONG, SHORT)])
def test_provider_has_the_longest_matching_prefix(model, provider, providers):
    assert environment.find_provider(model, providers) is provider


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://a.example", "https://a.example"),
        ("https://a.example//v1//", "https://a.example"),
        ("https://a.example/v1/v1", "https://a.example/v1"),
        ("https://a.example/v2", "https://a.example/v2"),
        ("https://a.example/X", "https://a.example/X"),
        ("https://a.example/X/v1", "https://a.example/X"),
    ],
)
def test_only_one_final_api_version_is_removed(url, expected):
    assert environment.strip_api_version(url) == expected


def test_empty_workspace_secret_hides_a_global_one():
    assert "A" not in resolve(global_secrets={"A": "of all"}, A="")


def test_reserved_secret_is_dropped_and_the_others_are_kept():
    assert resolve(WORKSPACE_ID="forged", A="1") == PLAIN | {"A": "1"}


def test_each_own_variable_of_the_plane_may_satisfy_a_requirement():
    assert resolve(known=Runtime(required=(("PLATFORM_URL",),))) == PLAIN


def test_variables_of_the_plane_win_over_derived_ones():
    runtime = Runtime(model_variables=("WORKSPACE_ID", "PLATFORM_URL"))

    assert resolve(replace(DESIRED, model="m-1"), runtime) == PLAIN | {"MODEL": "m-1"}


@pytest.mark.parametrize("adapter_module", ["", "an.adapter"])
def test_adapter_module_is_set_only_if_there_is_one(adapter_module):
    resolved = resolve(replace(DESIRED, adapter_module=adapter_module))

    assert resolved.get("ADAPTER_MODULE", "") == adapter_module
    assert ("ADAPTER_MODULE" in resolved) is bool(adapter_module)


def test_variables_are_sorted_by_name():
    resolved = environment.resolve_environment(
        DESIRED, Runtime(), Secrets(workspace_secrets={"Z": "1", "A": "2"}), platform_url="http://plane:8080"
    )

    assert [name for name, _ in resolved] == ["A", "ADAPTER_MODULE", "PLATFORM_URL", "WORKSPACE_ID", "Z"]


def test_model_is_taken_from_the_first_variable_that_is_set():
    runtime = Runtime(model_variables=("FIRST_MODEL", "SECOND_MODEL"))

    assert resolve(known=runtime, SECOND_MODEL="second")["MODEL"] == "second"
    assert resolve(known=runtime, SECOND_MODEL="second", FIRST_MODEL="first")["MODEL"] == "first"
    assert resolve(known=runtime, SECOND_MODEL="second", FIRST_MODEL="first", MODEL="m")["FIRST_MODEL"] == "m"
    assert resolve(replace(DESIRED, model="chosen"), runtime, SECOND_MODEL="second")["SECOND_MODEL"] == "chosen"


def test_name_of_the_provider_is_set_unless_a_secret_sets_it():
    chosen = replace(DESIRED, model="m-1")

    assert resolve(chosen, ANTHROPIC_RUNTIME)["PROVIDER_NAME"] == "long"
    assert resolve(chosen, ANTHROPIC_RUNTIME, PROVIDER_NAME="mine")["PROVIDER_NAME"] == "mine"
    assert "PROVIDER_NAME" not in resolve(replace(DESIRED, model="other"), ANTHROPIC_RUNTIME)
    assert "PROVIDER_NAME" not in resolve(known=ANTHROPIC_RUNTIME)
    assert resolve(chosen, replace(ANTHROPIC_RUNTIME, provider_variable="")) == PLAIN | {"MODEL": "m-1"}


def test_unknown_selected_provider_leaves_the_one_of_the_model():
    chosen = replace(DESIRED, model="m-2")

    assert resolve(chosen, ANTHROPIC_RUNTIME, MODEL_PROVIDER="unknown")["PROVIDER_NAME"] == "short"
    assert resolve(known=ANTHROPIC_RUNTIME, MODEL_PROVIDER="SHORT")["PROVIDER_NAME"] == "short"


def test_first_key_of_the_provider_that_is_set_is_used():
    chosen = replace(DESIRED, model="m-2")

    both = resolve(chosen, ANTHROPIC_RUNTIME, OTHER_KEY="o", SHORT_KEY="s", ANTHROPIC_API_KEY="a")
    one = resolve(chosen, ANTHROPIC_RUNTIME, OTHER_KEY="o")

    assert both["ANTHROPIC_AUTH_TOKEN"] == "s"
    assert both["ANTHROPIC_BASE_URL"] == "https://short.example"
    assert both["OTHER_KEY"] == "o"
    assert "ANTHROPIC_API_KEY" not in both
    assert one["ANTHROPIC_AUTH_TOKEN"] == "o"


def test_key_of_the_provider_wins_over_a_secret_with_anthropics_name():
    secrets = {"SHORT_KEY": "s", "ANTHROPIC_AUTH_TOKEN": "mine", "ANTHROPIC_BASE_URL": "https://mine.example"}

    resolved = resolve(replace(DESIRED, model="m-2"), ANTHROPIC_RUNTIME, **secrets)

    assert (resolved["ANTHROPIC_AUTH_TOKEN"], resolved["ANTHROPIC_BASE_URL"]) == ("s", "https://short.example")


def test_anthropic_key_is_kept_without_a_key_or_address_of_the_provider():
    without_key = resolve(replace(DESIRED, model="m-2"), ANTHROPIC_RUNTIME, ANTHROPIC_API_KEY="a")
    without_url = resolve(replace(DESIRED, model="m-1"), ANTHROPIC_RUNTIME, ANTHROPIC_API_KEY="a", LONG_KEY="l")

    for resolved in (without_key, without_url):
        assert resolved["ANTHROPIC_API_KEY"] == "a"
        assert "ANTHROPIC_AUTH_TOKEN" not in resolved
        assert "ANTHROPIC_BASE_URL" not in resolved


def test_runtime_that_does_not_speak_anthropic_keeps_its_names():
    runtime = replace(ANTHROPIC_RUNTIME, speaks_anthropic=False)

    resolved = resolve(replace(DESIRED, model="m-2"), runtime, SHORT_KEY="s", ANTHROPIC_API_KEY="a")

    assert resolved == PLAIN | {"MODEL": "m-2", "PROVIDER_NAME": "short", "SHORT_KEY": "s", "ANTHROPIC_API_KEY": "a"}


def test_requirement_needs_a_value_of_one_of_its_names():
    runtime = Runtime(required=(("A", "B"),))

    assert resolve(known=runtime, A="1")["A"] == "1"
    with pytest.raises(MissingEnvironment) as raised:
        resolve(known=runtime, A="", C="1")

    assert raised.value.details == {"missing": ["A or B"]}
