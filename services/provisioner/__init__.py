"""The hands: instances that are wanted exist, and no others. There is no database here.

| Module       | What it holds                                                   |      |
|--------------|-----------------------------------------------------------------|------|
| `model`      | Wish, Spec, Credentials, Instance, Phase, Fact                  | pure |
| `plan`       | next_step(), news(), patience(): what to do, say, and wait for  | pure |
| `environment`| what an instance finds in its environment                       | pure |
| `spec`       | wish + environment + credentials → Spec                         | pure |
| `reconciler` | ♥ one task per workspace, one step at a time                    |      |
| `logs`       | ♥ who may read what an instance has written                     |      |
| `steps`      | one step for one workspace: say, start, stop, forget            |      |
| `wishes`     | what the registry wants, kept fresh by its feed                 |      |
| `janitor`    | instances nobody wants                                          |      |
| `backends`   | base (the contract), process (with its keeper), fake, none      |      |
| `calls`      | what it asks of the registry and of auth                        |      |
| `wire`       | the model ↔ protobuf                                            |      |
| `api`        | the servicer                                                    |      |
| `app`        | wiring                                                          |      |
| `settings`   | its variables                                                   |      |
| `errors`     | what can go wrong with an instance                              |      |

Wanted is in the registry, actual is in the backend. After a crash both are asked, and the work goes on.
"""
