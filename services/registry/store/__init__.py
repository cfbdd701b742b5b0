"""Where the book is kept: the only place, with `tables`, that knows SQL.

| Module        | What it holds                                             |
|---------------|-----------------------------------------------------------|
| `transaction` | Store, Transaction: one workspace at a time; numbering    |
| `tree`        | who is above and below whom                               |
| `lists`       | pages of workspaces, peers and events                     |
| `changes`     | what changed after a revision, and who listens            |
| `felt`        | how agents feel, many at a time                           |
| `due`         | what the sweeps look for                                  |
| `events`      | stored events, and how far back they are kept             |
| `approvals`   | what agents may not do without somebody's consent         |
| `checkpoints` | how far agents have come                                  |
| `configs`     | what workspaces and the canvas are set to                 |
| `instructions`| what operators tell agents                                |
| `memories`    | what agents remember                                      |
| `entries`     | what agents keep by key                                   |
| `kits`        | the files that instances start with                       |
| `reader`      | rows into workspaces, remembered as they were read        |
"""
