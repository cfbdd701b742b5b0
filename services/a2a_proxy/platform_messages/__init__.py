"""Messages that the plane itself sends: the initial prompt of a workspace, and the notice of a restart.

| Module     | What it holds                                                                    |      |
|------------|----------------------------------------------------------------------------------|------|
| `rules`    | what the feed shows of an instance, and which message its start calls for        | pure |
| `messages` | builds the initial prompt and the restart notice                                 | pure |
| `service`  | follows the feed, and accepts each message once into the queue                   |      |
| `store`    | the instances whose start has been dealt with, within one transaction            |      |
| `tables`   | the table of these instances                                                     |      |
"""
