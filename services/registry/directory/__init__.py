"""Creates, reads, updates and finds workspaces.

| Module | Contents |
|---|---|
| `creation` | the one way to create workspaces: validation, auth, then a transaction, with undo |
| `creation_batch` | the transaction that commits new workspaces |
| `workspace_plan` | a workspace that is to be created |
| `queries` | reads: get, list, card, instance files, stored events |
| `card_pages` | pages of workspaces with their cards |
| `search` | search by name, role, skill and tag |
| `discovery` | addresses, peers and communication rights |
| `updates` | changes of fields, including moves in the tree |
| `budgets`, `model_choice` | the budget and the model of a workspace |
"""
