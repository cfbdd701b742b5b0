"""The contract of auth, version 1."""
