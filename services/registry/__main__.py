"""The command of the registry."""

from services.chassis.service import main
from services.registry.app import service

if __name__ == "__main__":
    main(service)
