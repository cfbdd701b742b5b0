"""What auth knows, as frozen dataclasses and enums: one file for each noun."""
