"""The contract of auth."""
