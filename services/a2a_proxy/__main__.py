"""Runs the A2A proxy: `python -m services.a2a_proxy [serve | migrate | settings]`."""

from services.a2a_proxy.app import service
from services.chassis.service import main

if __name__ == "__main__":
    main(service)
