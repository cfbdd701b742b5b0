"""The command line of the gateway: `serve` (the default) until a signal, or `settings`."""

import asyncio
import sys

import uvloop

from gateway.server import run_gateway
from gateway.settings import Settings
from services.chassis import gc_tuning, settings, startup, telemetry
from services.chassis.settings import InvalidSettings


def main() -> None:
    """Run the command."""
    match sys.argv[1:]:
        case [] | ["serve"]:
            sys.exit(_serve())
        case ["settings"]:
            for name, default, meaning in settings.describe_settings(Settings):
                print(f"{name}={default}\n    {meaning}")  # noqa: T201 - the output of a command
        case _:
            sys.exit(_print_error("usage: python -m gateway [serve | settings]", code=2))


def _serve() -> int:
    startup.open_missing_descriptors()
    try:
        values = settings.load_settings(Settings)
        telemetry.configure("gateway", log_format=values.log_format, otlp_endpoint=values.otlp_endpoint)
        startup.warn_of_misspelt_settings(Settings)
        uvloop.run(_serve_until_signal(values))
    except InvalidSettings as error:
        return _print_error(str(error), code=1)
    return 0


async def _serve_until_signal(values: Settings) -> None:
    stop_requested = asyncio.Event()
    for number in startup.list_stop_signals():
        asyncio.get_running_loop().add_signal_handler(number, stop_requested.set)
    async with run_gateway(values):
        gc_tuning.freeze_startup_objects()
        await stop_requested.wait()


def _print_error(line: str, *, code: int) -> int:
    print(line, file=sys.stderr)  # noqa: T201 - the output of a command
    return code


if __name__ == "__main__":
    main()
