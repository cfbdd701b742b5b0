"""Runs auth: `python -m services.auth`."""

from services.auth.app import service
from services.chassis.service import main

if __name__ == "__main__":
    main(service)
