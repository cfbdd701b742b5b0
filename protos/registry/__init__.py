"""The contract of registry."""
