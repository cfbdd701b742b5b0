"""The command of the gateway: `serve` (the default) until told to stop, or `settings`."""

import asyncio
import signal
import sys

import uvloop

from gateway.server import run_gateway
from gateway.settings import Settings
from services.chassis import gc_tuning, settings, telemetry
from services.chassis.settings import InvalidSettings


def main() -> None:
    """Do what the command line says."""
    match sys.argv[1:]:
        case [] | ["serve"]:
            sys.exit(_serve())
        case ["settings"]:
            for name, default, meaning in settings.describe_settings(Settings):
                print(f"{name}={default}\n    {meaning}")  # noqa: T201 - a command talks to people
        case _:
            sys.exit(_say("usage: python -m gateway [serve | settings]", code=2))


def _serve() -> int:
    try:
        values = settings.load_settings(Settings)
        telemetry.configure("gateway", log_format=values.log_format, otlp_endpoint=values.otlp_endpoint)
        uvloop.run(_until_told(values))
    except InvalidSettings as error:
        return _say(str(error), code=1)
    return 0


async def _until_told(values: Settings) -> None:
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    async with run_gateway(values):
        gc_tuning.freeze_startup_objects()
        await told.wait()


def _say(line: str, *, code: int) -> int:
    print(line, file=sys.stderr)  # noqa: T201 - a command talks to people
    return code


if __name__ == "__main__":
    main()
