"""What the routes answer, where it is more than a message rendered."""
