"""The contract of a2a_proxy."""
