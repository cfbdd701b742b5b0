"""Where instances live: the contract (`base`), those who keep it, and their names."""

BACKENDS = {
    "process": "services.provisioner.backends.process",
    "none": "services.provisioner.backends.none",
    "fake": "services.provisioner.backends.fake",
}
"""The module of each backend, by its name in `PROVISIONER_BACKEND`; its `make(site)` makes one. They are written as
text, so that what is not chosen is not imported."""
