"""How a service runs, never what it is about.

| Module      | What it holds                                               |     |
|-------------|-------------------------------------------------------------|-----|
| `service`   | Parts, Service, serving(), main()                           |     |
| `rpc`       | the server interceptor: identity, access, errors, deadline  |     |
| `clients`   | dialling: retry policy, deadline, errors back               |     |
| `gathering` | work that many ask for at the same time, done in one go     |     |
| `together`  | many calls of one method in one journey                     |     |
| `feeds`     | follows a feed and opens it again after it broke            |     |
| `fan_out`   | publishes items to subscribers with bounded queues          |     |
| `backoff`   | exponential backoff                                         | pure|
| `timestamps`| times and durations, Python and protobuf                    |     |
| `liveness`  | when the loops of this replica last ticked                  |     |
| `errors`    | ServiceError and one class per canonical code               | pure|
| `identity`  | who is calling, in metadata and in a context variable       |     |
| `access`    | whether a caller may call an RPC                            | pure|
| `database`  | engine, migrations, advisory locks, the doorbell            |     |
| `settings`  | the only reader of the environment                          |     |
| `telemetry` | logs, traces, metrics                                       |     |
| `memory`    | when garbage is looked for                                  |     |
| `clock`     | Clock, and the loop that ticks                              |     |
| `addresses` | which addresses may be dialled                              | pure|
| `variables` | which environment variables users may set                   | pure|
| `pages`     | page tokens                                                 |     |
"""
