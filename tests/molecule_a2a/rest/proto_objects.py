"""What the proto file of 0.3 has of the objects of A2A."""


def drop_unknown(value):
    """Return a value without the member that the proto file does not have."""
    if isinstance(value, dict):
        return {name: drop_unknown(inner) for name, inner in value.items() if name != "referenceTaskIds"}
    return [drop_unknown(inner) for inner in value] if isinstance(value, list) else value
