"""Starts and stops the instances of workspaces, so that they match the desired state in the registry.

| Module                  | What it holds                                                                      |      |
|-------------------------|------------------------------------------------------------------------------------|------|
| `model`                 | DesiredInstance, Spec, Credentials, Instance, and the facts that are reported      | pure |
| `plan`                  | chooses the next step and the next fact, and computes when to start again          | pure |
| `start_queue`           | decides which workspace starts next: slots, organisations in turn                  | pure |
| `environment`           | builds the environment variables of an instance                                    | pure |
| `spec`                  | builds the spec from desired state, credentials, environment and files             | pure |
| `reconciler`            | runs one task for each workspace that needs work, one step at a time               |      |
| `logs`                  | checks access to the output of instances and reads it                              |      |
| `files`                 | reads and writes the files of workspaces for callers that may                      |      |
| `file_rules`            | decides which paths callers may name, and how much they may write                  | pure |
| `plugins`               | fetches plugins from sources and writes them into workspaces                       |      |
| `access`                | decides whether a caller may see the instance of a workspace                       |      |
| `steps`                 | runs one step for one workspace: report a fact, start, stop or forget its instance |      |
| `workspace_progress`    | remembers each workspace between steps, and notes where its start stands           |      |
| `start_gate`            | gives the slots of the start queue, and frees them after a time                    |      |
| `circuit_breaker`       | probes a backend that does not answer, instead of asking it for each workspace     |      |
| `provisioning_reports`  | sends where starts stand to the registry, many workspaces in one call              |      |
| `desired_state`         | caches the desired state of every workspace, from the registry's feed              |      |
| `images`                | pulls the images of runtimes, and restarts the workspaces on them                  |      |
| `image_watcher`         | refreshes the images that changed at their registries                              |      |
| `image_digests`         | asks image registries for the digests of images                                    |      |
| `image_names`           | parses references of images, and challenges of registries                          | pure |
| `janitor`               | removes instances of unknown workspaces, revokes tokens of ended instances         |      |
| `backends`              | the protocol `Backend` (`base`) and its implementations, a module or folder each   |      |
| `clients`               | the registry and auth, as the provisioner calls them                               |      |
| `wire`                  | converts the model to protobuf                                                     |      |
| `api`                   | the gRPC servicers                                                                 |      |
| `app`                   | assembles the service                                                              |      |
| `control_plane_server`  | the reference server of the control plane API                                      |      |
| `control_plane_options` | the options of the backend `control_plane`                                         | pure |
| `docker_options`        | the options of the backend `docker`                                                | pure |
| `settings`              | the environment variables of the service                                           |      |
| `errors`                | the errors of the service                                                          |      |

The service has no database. Desired state is stored in the registry and actual state is read from the backend, so after
a crash the provisioner reads both again and continues.
"""
