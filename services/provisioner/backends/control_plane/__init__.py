"""The backend `control_plane`: a provisioner on other machines runs the instances (docs/control-plane-api.md).

| Module        | What it holds                                                               |      |
|---------------|-----------------------------------------------------------------------------|------|
| `messages`    | the bodies of the API as the provisioner's own types, in both directions    | pure |
| `http_client` | requests with a credential, limits and time limits, and their errors        |      |
| `backend`     | implements the protocol `Backend`                                           |      |
"""
