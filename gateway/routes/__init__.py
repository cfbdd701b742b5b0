"""The routes, by what they are about. Each module is one table and the handlers it names."""
