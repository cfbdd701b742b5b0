"""Auth: authorises requests, issues tokens, stores secrets and keeps the audit log.

| Module          | What it holds                                                                         |
|-----------------|---------------------------------------------------------------------------------------|
| `authorization` | recognises the bearer of a request and checks it at a gate                            |
| `placements`    | which workspaces exist: place, confirm, bar, forget                                   |
| `tokens/`       | workspace tokens, organisation tokens, browser sessions; when tokens were last used    |
| `vault/`        | secrets of workspaces, global secrets and inbound secrets, sealed at rest             |
| `audit_log`     | the log of actions: append, list, verify                                              |
| `feeds/`        | revocations and changes of secrets, streamed to other services                        |
| `rules/`        | pure decisions: gates, scopes, minting, token texts, placements, the hash chain       |
| `model/`        | frozen dataclasses and enums, one file for each noun                                  |
| `store/`        | transactions and the statements of each noun; `store/tables/` has the tables          |
| `api/`, `wire/` | the gRPC servicers, and the conversion of their messages; one file for each contract  |
| `errors`        | the errors of auth, one class for each reason of its contract                         |
| `settings`      | the settings of auth                                                                  |
| `app`           | builds all of it                                                                      |

The same noun has the same file name in `model/`, `rules/`, `store/`, `store/tables/` and the service modules.
"""
