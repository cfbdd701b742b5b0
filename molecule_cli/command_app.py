"""Builds groups of commands: each command takes `--quiet` and `-h`, and `--json` wherever it takes `--output`."""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

import typer

from molecule_cli import terminal
from molecule_cli.output import PANEL, OutputFormat

Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print no confirmations and no progress.", rich_help_panel=PANEL)
]
AsJson = Annotated[bool, typer.Option("--json", help="Short for --output json.", rich_help_panel=PANEL)]

F = TypeVar("F", bound=Callable[..., Any])


class CommandApp(typer.Typer):
    """A group of commands with the options that all commands share; without an argument it shows its help."""

    def __init__(self, *, help: str, examples: Sequence[str] = (), **members: Any) -> None:  # noqa: A002, ANN401 - as in typer
        """`examples` are command lines that the help shows at its end."""
        super().__init__(
            help=help,
            no_args_is_help=True,
            pretty_exceptions_enable=False,
            rich_markup_mode="rich",
            context_settings={"help_option_names": ["-h", "--help"]},
            epilog=format_examples(examples),
            **members,
        )

    def command(  # type: ignore[override]
        self,
        name: str | None = None,
        *,
        examples: Sequence[str] = (),
        hidden: bool = False,
        rich_help_panel: str | None = None,
    ) -> Callable[[F], F]:
        """Return the decorator of a command; `examples` are command lines that its help shows at its end."""
        register = super().command(
            name, epilog=format_examples(examples), hidden=hidden, rich_help_panel=rich_help_panel
        )

        def decorate(function: F) -> F:
            register(_add_shared_options(function))
            return function

        return decorate


def format_examples(commands: Sequence[str]) -> str | None:
    """Return the end of a help that shows command lines. Typer puts each paragraph on a line of its own."""
    if not commands:
        return None
    return "\n\n".join(("[bold]Examples[/]", *(command.replace("[", r"\[") for command in commands)))


def _add_shared_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function with the shared options added to its signature, from which typer builds the command."""
    signature = inspect.signature(function)
    shared = {"quiet": Quiet} | ({"as_json": AsJson} if "output" in signature.parameters else {})

    @functools.wraps(function)
    def run(*arguments: Any, quiet: bool = False, as_json: bool = False, **options: Any) -> Any:  # noqa: ANN401
        terminal.set_quiet(quiet)
        if as_json:
            options["output"] = OutputFormat.JSON
        return function(*arguments, **options)

    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=annotation)
        for name, annotation in shared.items()
    ]
    run.__signature__ = signature.replace(parameters=[*signature.parameters.values(), *added])  # type: ignore[attr-defined]
    run.__annotations__ = function.__annotations__ | shared
    return run
