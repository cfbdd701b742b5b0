"""`molecule config`: manages contexts, which are names for planes and the tokens that open them."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from molecule_cli import terminal
from molecule_cli.command_app import CommandApp
from molecule_cli.contexts import Context, Contexts, load_contexts, save_contexts
from molecule_cli.errors import CliError
from molecule_cli.output import Output, OutputFormat, print_answer
from molecule_cli.questions import Yes, require_consent

app = CommandApp(
    help=(
        "Contexts: names for planes. One is current; [bold]--context NAME[/] or MOLECULE_CONTEXT selects another "
        "for one command."
    ),
    examples=(
        "molecule config set production --url https://plane.example --token-file ~/.secrets/plane",
        "molecule config use production",
        "molecule --context production status",
    ),
)

Name = Annotated[str, typer.Argument(help="What the context is called.")]


@app.command(name="list")
def list_(*, output: Output = OutputFormat.TABLE) -> None:
    """Show the contexts; the current one has a star. Tokens are never shown."""
    found, _ = _load()
    answer = [_describe(name, context, found.current) for name, context in found.by_name.items()]
    print_answer(output, answer, names=found.by_name, print_table=lambda: _print_contexts(answer))


@app.command()
def show(*, output: Output = OutputFormat.TABLE) -> None:
    """Show which plane a command would use now, and why."""
    from molecule_cli import settings

    connection = settings.load_settings()
    source = f"context {connection.context}" if connection.context else "environment and defaults"
    answer = {"url": connection.url, "source": source, "has_token": connection.token is not None}
    text = f"{connection.url}, by {source}, {'with a token' if connection.token else 'without a token'}"
    print_answer(output, answer, names=[connection.url], print_table=lambda: terminal.print_line(text))


@app.command(name="set", examples=("molecule config set local --url http://127.0.0.1:8080",))
def set_(
    name: Name,
    *,
    url: Annotated[str | None, typer.Option("--url", help="The address of the gateway.")] = None,
    token: Annotated[
        bool, typer.Option("--token", help="Ask for the token, or read it from standard input, and store it.")
    ] = False,
    token_file: Annotated[
        Path | None, typer.Option("--token-file", help="A file with the token, read by each command.")
    ] = None,
) -> None:
    """
    Make or change a context. The first one becomes the current one.

    The token never stands on the command line, because other users can read command lines.
    """
    from molecule_cli import settings

    found, path = _load()
    before = found.by_name.get(name)
    if before is None and url is None:
        message = f"there is no context {name} yet: name its plane with --url"
        raise CliError(message)
    if token and token_file:
        message = "give --token or --token-file, not both"
        raise CliError(message)
    after = Context(
        url=settings.require_url(url, source="--url") if url else before.url if before else "",
        token=_read_token() if token else "" if token_file or before is None else before.token,
        token_file=_keep_path(token_file) if token_file else "" if token or before is None else before.token_file,
    )
    save_contexts(path, Contexts(found.current or name, {**found.by_name, name: after}))
    current = "" if (found.current or name) == name else f"; molecule config use {name} makes it the current one"
    terminal.print_note(f"{name} is saved in {path}{current}")


@app.command()
def use(name: Name) -> None:
    """Make a context the current one."""
    found, path = _load()
    context = found.get(name)
    save_contexts(path, Contexts(name, found.by_name))
    terminal.print_note(f"commands use {context.url} from now on, unless MOLECULE_URL, PORT or MOLECULE_HOME is set")


@app.command()
def delete(name: Name, *, yes: Yes = False) -> None:
    """Delete a context with its token; the plane is not touched."""
    found, path = _load()
    found.get(name)
    require_consent(f"delete the context {name} and its token", yes=yes)
    remaining = {key: context for key, context in found.by_name.items() if key != name}
    save_contexts(path, Contexts("" if found.current == name else found.current, remaining))
    terminal.print_note(f"{name} is deleted")


def _load() -> tuple[Contexts, Path]:
    from molecule_cli import settings

    path = settings.load_environment().config_file
    return load_contexts(path), path


def _describe(name: str, context: Context, current: str) -> dict[str, Any]:
    token = "file" if context.token_file else "stored" if context.token else "none"
    return {"name": name, "url": context.url, "token": token, "current": name == current}


def _print_contexts(answer: list[dict[str, Any]]) -> None:
    from molecule_cli import tables

    if not answer:
        terminal.print_line("no contexts yet: molecule config set NAME --url URL makes one")
        return
    rows = [("*" if one["current"] else "", one["name"], one["url"], one["token"]) for one in answer]
    tables.print_table([tables.Column(heading) for heading in ("", "NAME", "URL", "TOKEN")], rows)


def _keep_path(path: Path) -> str:
    """Return the path so that it is the same in every directory."""
    return str(path) if str(path).startswith("~") else str(path.absolute())


def _read_token() -> str:
    if terminal.is_interactive():
        return str(typer.prompt("Token", hide_input=True, err=True)).strip()
    token = sys.stdin.read().strip()
    if not token:
        message = "no token: pipe one in, or call this in a terminal and type it"
        raise CliError(message)
    return token
