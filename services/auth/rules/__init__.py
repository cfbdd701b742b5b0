"""The decisions of auth, as pure functions over the model."""
