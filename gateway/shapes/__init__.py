"""What the routes take."""
