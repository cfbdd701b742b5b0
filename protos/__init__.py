"""The contracts between the services; the address of a contract is the address of its file."""
