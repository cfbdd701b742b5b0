"""Fetches plugins from sources, checks them, and writes them into workspaces.

| Module          | What it holds                                                                       |      |
|-----------------|-------------------------------------------------------------------------------------|------|
| `model`         | sources, manifests, limits, installed plugins                                       | pure |
| `rules`         | decides which sources, names and paths are valid, computes digests                  | pure |
| `manifest`      | reads `plugin.yaml` and `plugin.json`                                               | pure |
| `masking`       | replaces credentials in texts before they are logged                                | pure |
| `sources`       | the protocols of sources, and the registry that keeps them by scheme                |      |
| `local_source`  | copies plugins from the operator's plugin directory                                 |      |
| `github_source` | downloads plugins from GitHub                                                       |      |
| `fetcher`       | downloads archives over HTTPS, within limits                                        |      |
| `archive`       | unpacks archives, within limits                                                     |      |
| `stage`         | holds the files of one plugin on this machine, within limits                        |      |
| `staging`       | fetches a plugin into a stage, checks it, deletes the stage after its use           |      |
| `delivery`      | writes, reads and deletes plugins through the file methods of the backend           |      |
| `service`       | lists, installs and removes plugins for callers that may                            |      |
| `wire`          | converts plugins to protobuf                                                        |      |
| `api`           | the gRPC servicer                                                                   |      |
| `threads`       | runs blocking work in a thread to its end                                           |      |
| `errors`        | the errors of plugins                                                               |      |
"""
