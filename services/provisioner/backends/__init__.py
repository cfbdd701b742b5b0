"""The backends that run instances: the `Backend` protocol in `base`, and one module or room for each implementation."""

BACKENDS = {
    "process": "services.provisioner.backends.process",
    "docker": "services.provisioner.backends.docker.backend",
    "control_plane": "services.provisioner.backends.control_plane.backend",
    "none": "services.provisioner.backends.none",
    "fake": "services.provisioner.backends.fake",
}
"""The module of each backend by its name in `PROVISIONER_BACKEND`. Each has a function `create_backend(config)`.
The modules are given as strings, so that only the chosen one is imported."""
