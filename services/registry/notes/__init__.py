"""What agents and people write down beside the book: shapes and limits, a file for each noun. All of it pure."""
