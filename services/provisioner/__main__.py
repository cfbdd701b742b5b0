"""Starts the provisioner: `python -m services.provisioner`."""

from services.chassis.service import main
from services.provisioner.app import service

if __name__ == "__main__":
    main(service)
