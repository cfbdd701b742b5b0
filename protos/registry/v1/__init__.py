"""The contract of registry, version 1."""
