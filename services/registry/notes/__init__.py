"""Notes: what agents and people store about workspaces.

| Folder         | A note is                                                       |
|----------------|-----------------------------------------------------------------|
| `memories`     | text that an agent remembers alone, with its team or globally   |
| `entries`      | a value that an agent stores under a key                        |
| `approvals`    | a request for a person's consent                                |
| `instructions` | text that operators give to one agent or to all                 |
| `checkpoints`  | a completed step of an agent's workflow                         |
| `configs`      | a JSON object of a workspace, and the viewport of the canvas    |

Each folder has the same modules: `rules` decides (pure), `tables` and `store` use SQL, `service` reads, decides and
writes, `wire` converts to protobuf, `api` is the servicer. The rest of the registry imports no note: the removal gets
`purge` as a parameter, and only the creation of a workspace stores memories itself.
"""
