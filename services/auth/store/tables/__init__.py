"""The tables of the schema `auth`: one file for each noun."""
