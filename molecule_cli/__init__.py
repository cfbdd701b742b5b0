"""The `molecule` command: it talks REST, and starts the deployment."""
