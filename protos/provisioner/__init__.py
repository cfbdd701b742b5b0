"""The contract of provisioner."""
