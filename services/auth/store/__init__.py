"""Everything said to the database."""
