"""The catalogue of runtimes and models."""

from datetime import timedelta

import pytest

from services.chassis.settings import InvalidSettings
from services.registry import catalog

TWO_RUNTIMES = """
runtimes:
  - name: cook
    provision_limit: 30
    models:
      - {id: secret/soup, name_only: true}
      - {id: plain/soup}
  - name: bare
    models:
      - {id: secret/soup, name_only: true}
"""


def read(tmp_path, text, **options):
    path = tmp_path / "catalog.yaml"
    path.write_text(text)
    return catalog.read_catalog(path, **options)


@pytest.mark.covers("REG-08")
def test_the_catalogue_contains_the_runtimes_of_the_contract():
    known = catalog.read_catalog()

    for runtime in ("langgraph", "hermes", "claude-code", "crewai", "deepagents", "google-adk", "echo", "external"):
        assert known.has_runtime(runtime)
    assert not known.has_runtime("cobol")
    assert known.adapter_module("echo") == "molecule_agent.echo"
    assert known.adapter_module("cobol") == ""


@pytest.mark.covers("PROV-15")
def test_the_image_of_a_runtime_is_that_of_the_catalogue_then_of_a_template(tmp_path):
    text = TWO_RUNTIMES.replace("name: cook", "name: cook\n    image: registry.example:5000/cook@sha256:12")

    known = read(tmp_path, text, images={"cook": "template:1", "bare": "template:2"})

    assert known.image("cook") == "registry.example:5000/cook@sha256:12"
    assert known.image("bare") == "template:2"
    assert known.image("cobol") == ""


@pytest.mark.parametrize("image", ["-v", "a b", "a\\n", "'a' * 256", "/a"])
def test_an_image_that_is_no_name_of_one_is_refused(tmp_path, image):
    with pytest.raises(InvalidSettings, match="image"):
        read(tmp_path, TWO_RUNTIMES.replace("name: cook", f'name: cook\n    image: "{image}"'))


@pytest.mark.covers("PROV-47")
def test_the_provision_limit_is_ten_minutes_thirty_for_hermes_or_the_override():
    known, overridden = catalog.read_catalog(), catalog.read_catalog(limit=timedelta(seconds=60))

    assert known.provision_limit("hermes") == timedelta(minutes=30)
    assert known.provision_limit("echo") == known.provision_limit("cobol") == timedelta(minutes=10)
    assert overridden.provision_limit("hermes") == overridden.provision_limit("echo") == timedelta(seconds=60)


@pytest.mark.covers("REG-50", "REG-56")
def test_the_default_model_is_the_first_that_needs_no_setup(tmp_path):
    known = read(tmp_path, TWO_RUNTIMES)

    assert known.default_model("cook") == "plain/soup"
    assert known.models("cook") == ("secret/soup", "plain/soup")
    assert known.default_model("bare") is known.default_model("cobol") is None


def test_every_runtime_with_models_has_a_default_model():
    known = catalog.read_catalog()

    for runtime in ("langgraph", "hermes", "claude-code", "crewai", "deepagents", "google-adk"):
        assert known.default_model(runtime) in known.models(runtime)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("runtimes: [{name: a}, {name: a}]", "runtime named twice: a"),
        ("runtimes: [{name: a, models: [{id: m}, {id: m}]}]", "model of a named twice: m"),
        ("runtimes: [{name: a, colour: red}]", "colour"),
        ("runtimes: [{name: a, provision_limit: 0}]", "provision_limit"),
        ("runtimes: [", "catalog.yaml"),
        ("[]", "catalog.yaml"),
    ],
)
def test_an_invalid_catalogue_stops_the_service_with_one_line(tmp_path, text, complaint):
    with pytest.raises(InvalidSettings) as refusal:
        read(tmp_path, text)

    assert complaint in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.covers("PROV-15")
def test_runtime_with_an_image_can_be_started_by_a_backend_that_uses_images(tmp_path):
    known = read(tmp_path, "runtimes:\n  - {name: own, image: 'ghcr.io/agents/own:7'}\n  - {name: bare}\n")

    assert (known.image("own"), known.image("bare"), known.image("cobol")) == ("ghcr.io/agents/own:7", "", "")
    assert known.startable_runtimes(uses_images=True) == ("own",)
    assert known.startable_runtimes(uses_images=False) == ()
    with pytest.raises(InvalidSettings, match="image"):
        read(tmp_path, "runtimes:\n  - {name: own, image: '--privileged'}\n")
