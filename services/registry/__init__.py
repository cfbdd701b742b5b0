"""The book: who the workspaces are, where, and how they are.

| Module      | What it holds                                                       |     |
|-------------|---------------------------------------------------------------------|-----|
| `model`     | Workspace, Vitals, Status                                           | pure|
| `facts`     | what is observed                                                    | pure|
| `health`    | what a heartbeat says of an agent                                   | pure|
| `status`    | after(workspace, fact): what a fact makes of a workspace            | pure|
| `events`    | what others are told of a change                                    | pure|
| `deeds`     | what somebody did, as the audit is told of it                       | pure|
| `words`     | what is said to people about a status                               | pure|
| `skills`    | what of a card can be searched for                                  | pure|
| `hierarchy` | who may communicate, who may see, what would be a cycle             | pure|
| `circles`   | to whom news of a workspace is told, by its place in the tree       | pure|
| `routes`    | what a sender and the provisioner must know about a workspace       | pure|
| `fields`    | what a new or changed workspace may hold                            | pure|
| `notes/`    | what agents and people write down: shapes and limits                | pure|
| `redaction` | secrets that are recognised in a text                               | pure|
| `documents` | YAML that somebody else wrote, read within bounds                   | pure|
| `kits`      | what a workspace starts with: files, and what its agent is told     | pure|
| `recipes`   | what the config.yaml of a template says                             | pure|
| `orgfile`   | what a file that declares an organisation says                      | pure|
| `bundle`    | a tree of workspaces written down, and read back                    | pure|
| `drafting`  | from a draft to the workspace that is made of it                    | pure|
| `templates` | the folders of templates                                            |     |
| `orgfolders`| the folders of org templates                                        |     |
| `founding`  | ♥ making many workspaces: all of them, or none                      |     |
| `orgs`      | ♥ importing organisations                                           |     |
| `teams`     | ♥ the team of a workspace: expand, collapse                         |     |
| `bundles`   | ♥ taking trees of workspaces along                                  |     |
| `catalog`   | the runtimes, their models and limits (catalog.yaml)                |     |
| `directory` | ♥ what is kept: create, get, list, events                           |     |
| `presence`  | ♥ how agents are: heartbeat, observe, restart                       |     |
| `admission` | ♥ register: how an agent is let in                                  |     |
| `pausing`   | ♥ pause, resume, hibernate, wake                                    |     |
| `editing`   | ♥ changing fields, moving in the tree                               |     |
| `removal`   | ♥ removing a tree: deny, commit, wait for the instances, purge      |     |
| `directions`| ♥ who may talk to whom, and where they are found                    |     |
| `memories`  | ♥ what agents remember: alone, as a team, for everybody             |     |
| `approvals` | ♥ what agents may not do without somebody's consent                 |     |
| `checkpoints`| ♥ how far agents have come with what they do in steps              |     |
| `configs`   | ♥ what workspaces and the canvas are set to                         |     |
| `instructions`| ♥ what operators tell agents: everybody, or one                   |     |
| `entries`   | ♥ what agents keep by key                                           |     |
| `models`    | ♥ which model an agent uses                                         |     |
| `budgets`   | ♥ what agents may spend                                             |     |
| `refits`    | which template a restart puts on                                    |     |
| `renewal`   | a fresh instance for what has changed                               |     |
| `turnover`  | instances are renewed when their secrets change                     |     |
| `search`    | ♥ finding workspaces by what their agents can do                    |     |
| `callers`   | what a caller may see and touch                                     |     |
| `intake`    | heartbeats, taken in many at once                                   |     |
| `feed`      | changes from a revision, heartbeats live, signs of life             |     |
| `event_log` | stored events as they are committed, with their audiences           |     |
| `broadcasts`| what is told once and not kept                                      |     |
| `views`     | what a caller may hear of, and what it has missed                   |     |
| `sweeps`    | silence, stuck provisioning, unfinished work, old events            |     |
| `addressing`| whether an agent's URL may be dialled                               |     |
| `calls`     | what it asks of auth                                                |     |
| `store/`    | transactions: reading, saving, numbering                            |     |
| `tables/`   | the schema `registry`                                               |     |
| `api/`      | the servicers                                                       |     |
| `wire/`     | protobuf and model, both ways                                       |     |
| `app`       | the wiring                                                          |     |
| `settings`  | what can be set                                                     |     |
| `errors/`   | the refusals                                                        | pure|
"""
