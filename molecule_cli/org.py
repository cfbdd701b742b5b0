"""`molecule org` and `molecule templates`: imports organisations and lists the templates of the plane."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from molecule_cli import org_diff, terminal, workspace_paths, workspaces
from molecule_cli.command_app import CommandApp
from molecule_cli.errors import CliError, PlaneRefusal
from molecule_cli.next_steps import explain_refusals
from molecule_cli.output import Output, OutputFormat, print_answer, print_for_scripts
from molecule_cli.selection import Workspace

app = CommandApp(
    help="Organisations: import, export and compare them, list their templates.",
    examples=(
        "molecule org import newsroom.yaml --dry-run",
        "molecule org diff newsroom.yaml",
        "molecule org export editor > newsroom.json",
        "molecule org import newsroom.json",
    ),
)

FLEXIBLE = frozenset({"NAME", "NEEDS", "DESCRIPTION"})
"""Headings of the columns that wrap."""

FILE_SUFFIXES = (".yaml", ".yml", ".json")
"""Suffixes of an org file; a source with another ending is the name of an org template."""


@app.command(name="import")
def import_(
    source: Annotated[str, typer.Argument(metavar="PATH|NAME", help="A file here, or an org template of the plane.")],
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything and create nothing.")] = False,
    output: Output = OutputFormat.TABLE,
) -> None:
    """
    Create every workspace that an org file declares, or none.

    A file of [bold]molecule org export[/] is taken as well; its workspaces get new ids.
    """
    from molecule_cli import plane_client, settings

    document = _build_source(source)
    if is_bundle(document.get("template")):
        _import_bundle(document["template"], source, dry_run=dry_run, output=output)
        return
    body = {**document, "dry_run": dry_run}
    with plane_client.open_plane(settings.load_settings()) as plane, explain_refusals(_explain_refusal):
        imported = plane.request("POST", "/org/import", body=body)
    if print_for_scripts(output, imported, [one["name"] for one in imported["workspaces"]]):
        return
    for line in _describe_import(imported, source):
        terminal.print_line(line)


@app.command()
def export(
    workspace: Workspace,
    *,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="Write it to this file.")] = None,
) -> None:
    """
    Write a workspace and everything below it as JSON, without secrets, for an import elsewhere.

    It has fields, files, prompts, schedules and the declared team.
    """
    from molecule_cli import plane_client, settings

    with plane_client.open_plane(settings.load_settings()) as plane:
        bundle = plane.request("GET", f"/bundles/export/{workspaces.find_workspace(plane, workspace)}")
    text = json.dumps(bundle, indent=2)
    if file is None:
        typer.echo(text)
        return
    file.write_text(f"{text}\n", encoding="utf-8")
    terminal.print_note(f"{workspace} is written to {file}; molecule org import {file} creates it again")


@app.command()
def diff(
    source: Annotated[str, typer.Argument(metavar="PATH|NAME", help="A file here, or an org template of the plane.")],
    *,
    output: Output = OutputFormat.TABLE,
) -> None:
    """
    Show how an org file and the workspaces of the plane differ: which are missing, which are more, tier and runtime.

    Only organisations whose root the file declares are compared. Ends with exit code 1 if there is a difference.
    """
    from molecule_cli import plane_client, settings

    with plane_client.open_plane(settings.load_settings()) as plane:
        with explain_refusals(_explain_refusal):
            planned = plane.request("POST", "/org/import", body={**_build_source(source), "dry_run": True})
        everything = workspaces.list_workspaces(plane)
    roots = {one["name"] for one in planned["workspaces"] if not one.get("parent")}
    paths = workspace_paths.build_paths(everything)
    present = {
        paths[one["id"]]: one for one in everything if paths[one["id"]].split(workspace_paths.SEPARATOR)[0] in roots
    }
    lines = list(org_diff.compare(planned["workspaces"], present))
    print_answer(output, lines, names=lines, print_table=lambda: _print_lines(lines))
    if lines:
        raise typer.Exit(1)
    if output is OutputFormat.TABLE:
        terminal.print_note(f"no difference: {len(planned['workspaces'])} workspaces")


@app.command()
def templates(*, output: Output = OutputFormat.TABLE) -> None:
    """Show the org templates of the plane."""
    from molecule_cli import plane_client, settings, tables

    with plane_client.open_plane(settings.load_settings()) as plane:
        templates_found = plane.request("GET", "/org/templates")
    if print_for_scripts(output, templates_found, [one["dir"] for one in templates_found]):
        return
    rows = [
        (one["dir"], one["name"], str(one["workspaces"]), _format_needs(one["required_env"]), one["description"])
        for one in templates_found
    ]
    headings = ("TEMPLATE", "NAME", "WORKSPACES", "NEEDS", "DESCRIPTION")
    tables.print_table([tables.Column(heading, flexible=heading in FLEXIBLE) for heading in headings], rows)


def show_templates(*, output: OutputFormat) -> None:
    """Print the workspace templates and the problems of those that cannot be used."""
    from molecule_cli import plane_client, settings, tables

    with plane_client.open_plane(settings.load_settings()) as plane:
        templates_found = plane.request("GET", "/templates", query={"problems": 1})
    if print_for_scripts(output, templates_found, [one["id"] for one in templates_found["templates"]]):
        return
    rows = [(one["id"], one["runtime"], one["model"], one["description"]) for one in templates_found["templates"]]
    headings = ("TEMPLATE", "RUNTIME", "MODEL", "DESCRIPTION")
    tables.print_table([tables.Column(heading, flexible=heading in FLEXIBLE) for heading in headings], rows)
    for problem in templates_found["problems"]:
        terminal.print_line(f"{problem['dir']} cannot be used: {problem['problem']}")


def _print_lines(lines: Sequence[str]) -> None:
    for line in lines:
        terminal.print_line(line)


def is_bundle(document: object) -> bool:
    """Whether a file is what `molecule org export` writes, and no org file."""
    return isinstance(document, dict) and "sub_workspaces" in document and "workspaces" not in document


def _import_bundle(bundle: dict[str, Any], source: str, *, dry_run: bool, output: OutputFormat) -> None:
    from molecule_cli import plane_client, settings

    if dry_run:
        message = f"{source} is an export, which cannot be tried without being imported: leave out --dry-run"
        raise CliError(message)
    with plane_client.open_plane(settings.load_settings()) as plane, explain_refusals(_explain_refusal):
        imported = plane.request("POST", "/bundles/import", body=bundle)
    made = list(_walk_bundle(imported))
    if print_for_scripts(output, imported, [one["name"] for one in made]):
        return
    terminal.print_line(f"{len(made)} workspaces made: {', '.join(str(one['name']) for one in made)}")
    terminal.print_note("molecule status shows them starting")


def _walk_bundle(imported: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the imported workspace and those below it."""
    yield imported
    for child in imported.get("children") or ():
        yield from _walk_bundle(child)


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
