"""Records the streamed answers of agents, and replays them from any replica (docs/spec/rest.md, 6.4, *Streaming*).

| Module          | What it holds                                                                     |      |
|-----------------|-----------------------------------------------------------------------------------|------|
| `model`         | recordings, their events, and how they end                                        | pure |
| `frames`        | cuts a stream into its events, byte for byte, and adds ids                        | pure |
| `event_ids`     | the ids that the plane gives to events                                            | pure |
| `task_events`   | what is known of the task of a stream, and the events that the plane adds         | pure |
| `rules`         | decides which positions can be replayed, and which answers a recording replaces   | pure |
| `tables`        | the tables of recordings, their events, and the proxies that write them           |      |
| `store`         | transactions on recordings                                                        |      |
| `watching`      | wakes the callers that follow a recording                                         |      |
| `writer`        | stores the events of all streams in batches, and ends recordings without a proxy  |      |
| `retention`     | erases recordings that ended long ago, and those of purged workspaces             |      |
| `caller_buffer` | the bounded buffer between a recording and the caller that began the stream       |      |
| `recording`     | reads one stream to its end, whether its caller stays or leaves                   |      |
| `recorder`      | owns the recordings of this replica, and limits them                              |      |
| `replay`        | replays a recording from a position, and follows it to its end                    |      |
| `beginnings`    | looks at the beginning of an agent's stream without losing it                     |      |
| `service`       | records the answers of agents, resumes streams, and replays tasks                 |      |
| `parts`         | creates and connects the parts                                                    |      |
"""
