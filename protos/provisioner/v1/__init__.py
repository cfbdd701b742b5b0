"""The contract of provisioner, version 1."""
