"""
What runs inside a workspace; it knows the REST contract and nothing of the plane's code.

settings     what the environment says, and the only reader of it
adapter      what an author writes: BaseAdapter, Turn, RuntimeCapabilities
echo         the adapter of an agent that was given none
card         what the agent says it can do, in both generations of A2A
backoff      how long to wait before asking again                     pure
work         what it is doing now and how the last tasks went
pulse        what a heartbeat says
credentials  the token and the inbound secret, in files of their own
plane        the plane as this agent sees it: register, heartbeat
heart        stays registered, keeps beating
memory       which messages were handed to the adapter already
tasks        the tasks that came of them, as far back as there is room
executor     lets the adapter answer, and tells A2A what it says
requests     A2A requests, each message handed on once
protocol     the A2A side, loaded while the agent registers
door         HTTP: health and card at once, all else to the protocol
imports      big libraries without what they merely look for
clock        time, so that tests can move it
app          the parts put together; serving and draining
"""
