"""What an instance finds in its environment."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis import variables
from services.provisioner import environment
from services.provisioner.errors import MissingEnvironment
from services.provisioner.model import DesiredState, Provider, Runtime, Secrets, Wish, WorkspaceId
from services.registry import catalog

WISH = Wish(
    workspace_id=WorkspaceId("5f0c2c1e-3c55-4b3a-9d43-9f7a3d1f0001"),
    generation=3,
    desire=DesiredState.RUNNING,
    runtime="echo",
    adapter_module="molecule_agent.echo",
)

PLAIN = {
    "WORKSPACE_ID": WISH.workspace_id,
    "PLATFORM_URL": "http://plane:8080",
    "ADAPTER_MODULE": "molecule_agent.echo",
}

names = st.from_regex(r"[A-Z][A-Z_]{0,8}", fullmatch=True) | st.sampled_from(
    [*sorted(variables.RESERVED_NAMES), "LD_PRELOAD"]
)
texts = st.dictionaries(names, st.text(min_size=1, max_size=5), max_size=6)


def runtime(name):
    """What the catalogue of the registry says, as the provisioner hears it."""
    known = catalog.read_catalog()
    found = known.find_runtime(name)
    return Runtime(
        required=found.required,
        speaks_anthropic=found.speaks_anthropic,
        model_variables=found.model_variables,
        provider_variable=found.provider_variable,
        providers=tuple(
            Provider(name=one.name, prefixes=one.model_prefixes, keys=one.keys, anthropic_url=one.anthropic_url)
            for one in known.providers
        ),
    )


ECHO, CLAUDE, HERMES = runtime("echo"), runtime("claude-code"), runtime("hermes")


def of(wish=WISH, known=ECHO, *, of_all=None, **own):
    secrets = Secrets(of_all=of_all or {}, own=own)
    return dict(environment.resolved(wish, known, secrets, platform_url="http://plane:8080"))


def test_an_agent_is_told_who_it_is_and_where_the_plane_is():
    assert of() == PLAIN


@pytest.mark.covers("PROV-24")
@pytest.mark.parametrize(("parent_id", "expected"), [(None, None), ("", None), ("p-1", "p-1")])
def test_the_parent_is_told_only_where_there_is_one(parent_id, expected):
    assert of(replace(WISH, parent_id=parent_id)).get("PARENT_ID") == expected


def test_its_own_secret_wins_over_the_global_one():
    assert of(of_all={"A": "of all", "B": "of all"}, B="own") == PLAIN | {"A": "of all", "B": "own"}


@pytest.mark.covers("REG-55")
@pytest.mark.parametrize(("chosen", "expected"), [("m-1", "m-1"), (None, "m-2")])
def test_the_chosen_model_wins_over_a_secret_of_that_name(chosen, expected):
    assert of(replace(WISH, model=chosen), MODEL="m-2")["MODEL"] == expected


def test_without_a_choice_there_is_no_model():
    assert "MODEL" not in of()


@given(texts, texts, st.none() | st.text(min_size=1, max_size=5))
def test_no_secret_can_stand_for_what_only_the_plane_may_set(of_all, own, model):
    secrets = Secrets(of_all=of_all, own=own)
    found = dict(environment.resolved(replace(WISH, model=model), ECHO, secrets, platform_url="http://plane:8080"))

    assert {name: value for name, value in found.items() if variables.is_reserved(name)} == PLAIN
    for name in {*of_all, *own} - {"MODEL"}:
        if not variables.is_reserved(name):
            assert found[name] == {**of_all, **own}[name]


@pytest.mark.covers("PROV-26", "PROV-27", "PROV-28")
@pytest.mark.parametrize(
    ("model", "key", "url"),
    [
        ("MiniMax-M3", "MINIMAX_API_KEY", "https://api.minimax.io/anthropic"),
        ("moonshot/kimi-k2.6", "KIMI_API_KEY", "https://api.moonshot.ai/anthropic"),
        ("moonshot/kimi-k2.6", "MOONSHOT_API_KEY", "https://api.moonshot.ai/anthropic"),
    ],
)
def test_the_key_of_whoever_serves_the_model_stands_under_anthropics_names(model, key, url):
    found = of(replace(WISH, model=model), CLAUDE, of_all={key: "the-key"})

    assert (found["ANTHROPIC_AUTH_TOKEN"], found["ANTHROPIC_BASE_URL"]) == ("the-key", url)
    assert found[key] == "the-key"


@pytest.mark.covers("PROV-27")
def test_a_model_from_the_vault_is_as_good_as_a_chosen_one():
    assert of(known=CLAUDE, MODEL="MiniMax-M3", MINIMAX_API_KEY="k")["ANTHROPIC_AUTH_TOKEN"] == "k"


@pytest.mark.covers("PROV-27")
def test_a_provider_that_was_selected_wins_over_that_of_the_model():
    found = of(
        replace(WISH, model="MiniMax-M3"), CLAUDE, MODEL_PROVIDER="Moonshot", MINIMAX_API_KEY="m", KIMI_API_KEY="k"
    )

    assert (found["ANTHROPIC_AUTH_TOKEN"], found["ANTHROPIC_BASE_URL"]) == ("k", "https://api.moonshot.ai/anthropic")


def test_anthropics_own_key_does_not_go_to_somebody_elses_address():
    found = of(replace(WISH, model="MiniMax-M3"), CLAUDE, of_all={"ANTHROPIC_API_KEY": "a"}, MINIMAX_API_KEY="m")

    assert "a" not in found.values()


def test_anthropics_models_are_reached_with_its_own_key():
    given = {"ANTHROPIC_API_KEY": "a", "MINIMAX_API_KEY": "m"}

    assert of(replace(WISH, model="anthropic/claude-sonnet-4-5"), CLAUDE, **given) == PLAIN | given | {
        "MODEL": "anthropic/claude-sonnet-4-5"
    }


def test_runtimes_that_speak_otherwise_get_their_keys_as_they_are():
    assert "ANTHROPIC_AUTH_TOKEN" not in of(replace(WISH, model="MiniMax-M3"), ECHO, MINIMAX_API_KEY="k")


@pytest.mark.covers("PROV-28")
@pytest.mark.parametrize("tail", ["", "/", "/v1", "/v1/"])
def test_an_address_ends_before_its_version(tail):
    assert environment.base_url(f"https://api.minimax.io/anthropic{tail}") == "https://api.minimax.io/anthropic"


@pytest.mark.covers("PROV-29")
def test_hermes_is_told_its_model_and_provider_under_its_own_names():
    found = of(replace(WISH, model="nousresearch/hermes-4-70b"), HERMES, NOUS_API_KEY="k")

    assert found["HERMES_DEFAULT_MODEL"] == found["MODEL"] == "nousresearch/hermes-4-70b"
    assert found["MODEL_PROVIDER"] == "nousresearch"
    assert of(known=HERMES, HERMES_DEFAULT_MODEL="openai/gpt-5.1")["MODEL_PROVIDER"] == "openai"


@pytest.mark.covers("PROV-17")
def test_every_variable_that_is_missing_is_named():
    needy = Runtime(required=(("A",), ("B",), ("C", "D")))

    with pytest.raises(MissingEnvironment) as refused:
        of(known=needy)

    assert refused.value.missing == ("A", "B", "C or D")
    assert refused.value.message == "missing required environment"
    assert of(known=needy, A="1", B="2", D="4")["D"] == "4"


@pytest.mark.covers("PROV-17")
@pytest.mark.parametrize(
    "given",
    [{"ANTHROPIC_API_KEY": "k"}, {"CLAUDE_CODE_OAUTH_TOKEN": "k"}, {"MODEL": "MiniMax-M3", "MINIMAX_API_KEY": "k"}],
)
def test_claude_code_works_with_any_key_that_leads_to_a_model(given):
    assert of(known=CLAUDE, **given)
    with pytest.raises(MissingEnvironment):
        of(known=CLAUDE, MINIMAX_API_KEY="k")


@given(texts, texts)
def test_nothing_of_the_secrets_is_shown(of_all, own):
    assert repr(Secrets(of_all=of_all, own=own)) == "Secrets()"
