"""The keys: who is calling, and the secrets they may read.

| Module     | What it holds                                                        |      |
|------------|----------------------------------------------------------------------|------|
| `model`    | Bearer, Gate, Scope, Knock, Standing, Placement, Revocation, Change  | pure |
| `records`  | tokens and sessions as they are kept, listed and handed out          | pure |
| `errors`   | the refusals                                                         | pure |
| `scopes`   | what the scopes of organisation tokens open                          | pure |
| `placements` | whether tokens may be issued for a workspace or an organisation    | pure |
| `tokens`   | mint (from given entropy), digest                                    | pure |
| `lifetimes` | how long tokens last                                                | pure |
| `gates`    | who passes which gate, and the exact words for those who do not      | pure |
| `chain`    | how deeds are linked, and whether links hold                         | pure |
| `sealing`  | encrypting secrets at rest                                           |      |
| `tables/`  | the schema, and what a live token is in it                           |      |
| `store/`   | everything said to the database                                      |      |
| `wire/`    | protobuf and back                                                    |      |
| `feed`     | revocations, told as they happen                                     |      |
| `changes`  | changes of secrets, told as they happen                              |      |
| `inbound`  | the secret that the plane presents to a workspace                    |      |
| `usage`    | when tokens were used, written in batches                            |      |
| `audit`    | ♥ who did what: added to, read and followed                          |      |
| `minting`  | ♥ the tokens of workspaces, as people look after them                |      |
| `orgs`     | ♥ the tokens of organisations                                        |      |
| `sessions` | ♥ browser sessions                                                   |      |
| `keyring`  | ♥ authorize, place, bar, forget, issue, revoke, ensure credentials   |      |
| `vault`    | ♥ set, list, open secrets; seal them anew                            |      |
| `api/`     | the servicers                                                        |      |
| `app`      | the wiring                                                           |      |
| `settings` | every setting                                                        |      |
"""
