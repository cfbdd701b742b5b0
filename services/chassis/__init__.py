"""What every service needs in order to run; it knows nothing of what the services are about.

| Module          | What it holds                                                             |      |
|-----------------|---------------------------------------------------------------------------|------|
| `service`       | starts and stops a service: server, loops, command line                   |      |
| `rpc`           | the server interceptor: caller, access rules, errors, traces              |      |
| `clients`       | the client side of a call: retries, deadline, errors                      |      |
| `certificates`  | the names that callers expect in the certificates of mutual TLS           |      |
| `batching`      | processes items in batches that callers submit one by one                 |      |
| `batched_calls` | sends concurrent calls of one method as one RPC                           |      |
| `feeds`         | follows a feed and opens it again after it broke                          |      |
| `fan_out`       | publishes items to subscribers with bounded queues                        |      |
| `backoff`       | computes exponential backoff                                              | pure |
| `errors`        | ServiceError, with one class for each gRPC status code                    | pure |
| `identity`      | the identity of a caller, in gRPC metadata and in a context variable      |      |
| `database`      | PostgreSQL: engines, transactions, migrations, locks, notifications       |      |
| `settings`      | reads settings from environment variables                                 |      |
| `setting_types` | the types of settings, with the texts and bounds that they accept          | pure |
| `setting_names` | decides whether a variable is a misspelt setting                          | pure |
| `secret_strength` | decides whether a secret is too weak for production                     | pure |
| `startup`       | what every process does when it starts                                    |      |
| `telemetry`     | logs, traces and metrics                                                  |      |
| `liveness`      | reports when each periodic loop of a replica last ran                     |      |
| `clock`         | the present time as a dependency                                          |      |
| `timestamps`    | converts times and durations between Python and protobuf                  |      |
| `gc_tuning`     | tunes the garbage collector for a long-running process                    |      |
| `pages`         | page tokens and page sizes                                                |      |
| `addresses`     | decides which network addresses may be connected to                       | pure |
| `variables`     | decides which environment variables users may set                         | pure |
"""
