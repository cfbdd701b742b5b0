"""`molecule org` and `molecule templates`: imports organisations and lists the templates of the plane."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from molecule_cli import terminal
from molecule_cli.errors import CliError, PlaneRefusal
from molecule_cli.next_steps import explain_refusals

app = typer.Typer(no_args_is_help=True, help="Organisations: import them from a file, list the templates.")

AsJson = Annotated[bool, typer.Option("--json", help="Print what the plane answers, as JSON.")]

FLEXIBLE = frozenset({"NAME", "NEEDS", "DESCRIPTION"})
"""Headings of the columns that wrap."""

FILE_SUFFIXES = (".yaml", ".yml", ".json")
"""Suffixes of an org file; a source with another ending is the name of an org template."""


@app.command(name="import")
def import_(
    source: Annotated[str, typer.Argument(metavar="PATH|NAME", help="A file here, or an org template of the plane.")],
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything and create nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Create every workspace that an org file declares, or none."""
    from molecule_cli import plane_client, settings

    body = {**_build_source(source), "dry_run": dry_run}
    with plane_client.open_plane(settings.load_settings()) as plane, explain_refusals(_explain_refusal):
        imported = plane.request("POST", "/org/import", body=body)
    if as_json:
        typer.echo(json.dumps(imported))
        return
    for line in _describe_import(imported, source):
        terminal.print_line(line)


@app.command()
def templates(*, as_json: AsJson = False) -> None:
    """Show the org templates of the plane."""
    from molecule_cli import plane_client, settings, tables

    with plane_client.open_plane(settings.load_settings()) as plane:
        templates_found = plane.request("GET", "/org/templates")
    if as_json:
        typer.echo(json.dumps(templates_found))
        return
    rows = [
        (one["dir"], one["name"], str(one["workspaces"]), _format_needs(one["required_env"]), one["description"])
        for one in templates_found
    ]
    headings = ("TEMPLATE", "NAME", "WORKSPACES", "NEEDS", "DESCRIPTION")
    tables.print_table([tables.Column(heading, flexible=heading in FLEXIBLE) for heading in headings], rows)


def show_templates(*, as_json: bool) -> None:
    """Print the workspace templates and the problems of those that cannot be used."""
    from molecule_cli import plane_client, settings, tables

    with plane_client.open_plane(settings.load_settings()) as plane:
        templates_found = plane.request("GET", "/templates", query={"problems": 1})
    if as_json:
        typer.echo(json.dumps(templates_found))
        return
    rows = [(one["id"], one["runtime"], one["model"], one["description"]) for one in templates_found["templates"]]
    headings = ("TEMPLATE", "RUNTIME", "MODEL", "DESCRIPTION")
    tables.print_table([tables.Column(heading, flexible=heading in FLEXIBLE) for heading in headings], rows)
    for problem in templates_found["problems"]:
        terminal.print_line(f"{problem['dir']} cannot be used: {problem['problem']}")


def _build_source(source: str) -> dict[str, Any]:
    path = Path(source)
    if path.is_file():
        return {"template": _read_file(path)}
    if path.suffix in FILE_SUFFIXES:
        message = f"there is no file {source}: name one, or an org template of the plane"
        raise CliError(message)
    if path.is_dir() and (path / "org.yaml").is_file() and "/" in source:
        message = f"{source} is a directory: copy it to ORG_TEMPLATES_DIR, then molecule org import {path.name}"
        raise CliError(message)
    return {"dir": source}


def _read_file(path: Path) -> dict[str, Any]:
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        message = f"{path} cannot be read: {error}"
        raise CliError(message) from None
    except yaml.YAMLError as error:
        if "!include" in str(error):
            message = (
                f"{path} includes other files: copy its directory to ORG_TEMPLATES_DIR, then import it by its name"
            )
        else:
            message = f"{path} is no YAML: {' '.join(str(error).split())}"
        raise CliError(message) from None
    if not isinstance(content, dict):
        message = f"{path} declares no organisation: it begins with name: and workspaces:"
        raise CliError(message)
    return content


def _explain_refusal(refusal: PlaneRefusal) -> str:
    """Return the reason of a refusal with the next step."""
    answer = refusal.answer
    if answer.get("missing"):
        needs, variable = _format_needs(answer["missing"]), _get_first_variable(answer["missing"][0])
        return f"{refusal}: {needs}; molecule secrets set {variable} --global, then import again"
    if answer.get("detail"):
        return f"{refusal}: {answer['detail']}"
    if str(refusal).startswith("org template not found"):
        return f"{refusal}; molecule org templates lists them"
    return str(refusal)


def _describe_import(imported: dict[str, Any], source: str) -> list[str]:
    names = ", ".join(str(one["name"]) for one in imported["workspaces"])
    if not imported.get("dry_run"):
        return [
            f"{imported['org']}: {imported['count']} workspaces made: {names}",
            "molecule status shows them starting",
        ]
    unset = imported["unset_recommended_env"]
    return [
        f"{imported['org']}: {imported['count']} workspaces would be made: {names}",
        *([f"recommended and not set: {_format_needs(unset)}"] if unset else []),
        f"molecule org import {source} makes them",
    ]


def _format_needs(needs: list[Any]) -> str:
    return ", ".join(need if isinstance(need, str) else " or ".join(need["any_of"]) for need in needs)


def _get_first_variable(need: Any) -> str:  # noqa: ANN401 - a name, or several
    return need if isinstance(need, str) else str(need["any_of"][0])
