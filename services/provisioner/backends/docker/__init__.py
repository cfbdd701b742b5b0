"""The backend `docker`: each instance is a container with volumes of its own.

| Module         | What it holds                                                                        |      |
|----------------|--------------------------------------------------------------------------------------|------|
| `names`        | names and labels of containers and volumes                                           | pure |
| `tiers`        | the isolation and the limits of each tier                                            | pure |
| `container`    | builds the configuration of a container from the spec                                | pure |
| `views`        | reads what the engine reports about containers, and makes instances of it            | pure |
| `refusals`     | decides what a conflict that the engine reports means                                | pure |
| `archives`     | tar archives of files for volumes                                                    | pure |
| `engine`       | calls of the Docker Engine, in threads with time limits, and their errors            |      |
| `volumes`      | the volumes of a workspace and the files in them                                     |      |
| `images`       | finds the image, and pulls it if it is missing                                       |      |
| `network`      | the network of the containers                                                        |      |
| `logs`         | the end of a container's output                                                      |      |
| `exits`        | the ends of containers, from the engine's events                                     |      |
| `installation` | the id that tells the containers of one plane from those of another                  |      |
| `backend`      | implements the protocol `Backend`                                                    |      |
"""
