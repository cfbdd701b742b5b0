"""
Fetches the messages of an agent that the plane cannot reach, and runs each of them once.

messages   what a fetched message asks for, and how its answer is written     pure
journal    the messages that this agent has received, in a file
client     the routes of the inbox
turns      runs the adapter for a message
worker     fetches, runs and acknowledges messages
"""
