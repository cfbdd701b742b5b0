"""How the plane is put together: the pieces in one process, or one process each."""
