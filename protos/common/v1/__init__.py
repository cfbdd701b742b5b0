"""The contract of common, version 1."""
