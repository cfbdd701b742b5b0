"""The refusals."""
