"""The checks of `molecule doctor`: each one finds a fault, names its cause and says what to do."""
